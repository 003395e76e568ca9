"""Drills: whole systems of real processes, described as data, real faults in them, and how Homeostat did, judged by their guests."""
