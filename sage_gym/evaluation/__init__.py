"""Metrics, calibration, significance, promotion, the intervention pilot, manifests and the report."""
