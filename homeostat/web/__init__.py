"""The HTTP endpoints of a running Homeostat: health, readiness, metrics, status, read-only graph queries."""
