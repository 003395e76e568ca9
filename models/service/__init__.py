"""The vectorised bank: every series of a partition at once, in plain arrays."""
