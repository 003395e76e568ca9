"""The words everyone shares: events, topics, ports, errors and settings.

Here live the typed and versioned events (`events`) and frames (`frames`), the one table of topics (`topics`), the protocols that
implementations must satisfy (`ports`), what a step of a playbook may do (`actions`), the suites that prove that they keep the rules (`checks`), the exception tree (`errors`), named states
(`verdicts`), the features (`features`), the declared settings with the rules of their sources (`settings`, `settings_sources`), what is
plugged in (`plugins`), trust in certificates (`tls`), units of time (`units`), the one way to try again (`retry`), and the helper for background work (`supervision`). Never here: an implementation, a driver, input or output
beyond reading settings, or an import of any other package of this project. This is the bottom of the house.
"""
