"""Training: configuration, losses, the loop, checks, the folder of a run."""
