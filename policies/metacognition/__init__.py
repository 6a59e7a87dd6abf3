"""Knowing whether one will fail, and whether one's trace tells the task: the head over a backbone's hidden state."""

from policies.metacognition.head import MetacognitionHead, Place, hidden_size_of
from policies.metacognition.temperature import TemperatureFit, fit_temperature

__all__ = ["MetacognitionHead", "Place", "TemperatureFit", "fit_temperature", "hidden_size_of"]
