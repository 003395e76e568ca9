"""Detectors made of other people's models (river, pyod), behind the same port. Drivers are imported when first used."""
