"""From selected trajectories to a better student: losses, estimators, trainer, rounds."""
