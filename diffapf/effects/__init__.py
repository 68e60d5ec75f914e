"""Audio effects: differentiable modules that also stream."""
