"""Training: the only place that knows epochs."""
