"""Everything that touches the outside: the implementations of the ports in `contracts`.

Here live the Kafka clients, real and embedded (`kafka`), the OTLP decoders and receivers (`otlp`), what makes OTLP of
other encodings (`encodings`), the Kubernetes watch (`kubernetes`), actuators (`actuators`), policy engines (`policy`), the
journal (`journal`), the store of snapshots (`state`), who is told of what was found and done (`sinks`) and who brings
telemetry (`sources`).
Each driver's errors are mapped to the exception tree in one place per driver. Never here: a decision, a score or a rule about what
should happen, and never an import of a sibling wing.
"""
