"""One plugin of each kind for Homeostat. Each is one file, and imports nothing of Homeostat but `homeostat.api`."""
