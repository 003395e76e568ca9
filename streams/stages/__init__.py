"""The stages, one file each: thin adapters from messages to the pure cores, returning what to emit."""
