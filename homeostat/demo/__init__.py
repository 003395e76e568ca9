"""The demonstration: a small shop of real processes, its load, the faults, and the story told as Homeostat heals them."""
