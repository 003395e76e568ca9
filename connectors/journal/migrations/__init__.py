"""Schema steps of the file, applied once each, in order."""
