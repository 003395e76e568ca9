"""What changes systems, behind the `Actuator` port: local processes, Kubernetes, webhooks, commands, and a dry run.

Here live the translations of an action into calls of a system, and of that system's errors into the exception tree. Never
here: whether an action is wise, allowed or enough. `registry` opens actuators by name.
"""
