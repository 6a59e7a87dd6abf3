"""Rewards and critics: what scores."""
