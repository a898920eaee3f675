"""Gradient surgery: the optimizer wrapper of Algorithm 1, and the conflict rules that it can apply."""
