"""The stages of the loop and the one consume loop that drives them.

Here live the Faust worker (the only module that owns consuming, committing and dead-lettering), one module per stage
(`handle(event, state, wiring) -> list[Emit]`: a stage returns what to emit and never sends), and the event-time state
machines: windows, watermarks, lateness. Never here: drivers of brokers, graphs or clusters, scoring or ranking
mathematics, and wall-clock time that was not passed in.
"""
