"""Six instrumented services and one outside dependency, each a process of its own."""
