"""The stages of the loop and the one consume loop that drives them.

Here live the Faust worker (`worker`, the only package that owns consuming, committing and dead-lettering), one module per stage
(`stages`: a stage takes a message and a time, returns what to emit, and never sends), what hosts them (`host`, `in_memory`), the record of
their handling and its replay (`replay`), and the event-time state machines (`windows`: watermarks, lateness). Never here: drivers of brokers, graphs or clusters, scoring or ranking
mathematics, and wall-clock time that was not passed in.
"""
