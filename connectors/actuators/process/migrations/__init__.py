"""Schema of the process manager's file, one numbered script per version."""
