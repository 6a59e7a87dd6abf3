"""Knowing whether one will fail, and whether one's trace tells the task: the head over a backbone's hidden state."""

from policies.metacognition.head import MetacognitionHead, Place, hidden_size_of
from policies.metacognition.scaling import ScalingFit, fit_scaling

__all__ = ["MetacognitionHead", "Place", "ScalingFit", "fit_scaling", "hidden_size_of"]
