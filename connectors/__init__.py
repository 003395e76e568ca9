"""Everything that touches the outside: the implementations of the ports in `contracts`.

Here live the Kafka clients (real and embedded), the OTLP decoders and receivers, the Kubernetes watch, actuators,
policy engines, the journal, sinks and identity. Each driver's errors are mapped to the exception tree in one place per
driver. Never here: a decision, a score or a rule about what should happen, and never an import of a sibling wing.
"""
