"""The simulator's laws beside real processes: the demo's shop, run and drawn to the same plan, and how far apart they are.

Only this room knows both; what it finds is told, and not tuned away. Nothing of the product is judged here.
"""
