"""The words everyone shares: events, topics, ports, errors and settings.

Here live the typed and versioned events, the one table of topics, the protocols that implementations must satisfy with
the check-suites that prove they do, the exception tree and the declared settings. Never here: an implementation, a
driver, input or output, or an import of any other package of this project. This is the bottom of the house.
"""
