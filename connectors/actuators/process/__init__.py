"""Services as local processes: a manager that runs them, its HTTP API, and the actuator over that API.

The manager knows how many instances there should be and of which version, and does what it is told. It never repairs by
itself: a crashed instance stays down until somebody decides otherwise.
"""
