"""What every implementation of a port must do, as checks that ship with Homeostat.

A module is one port (or a part of one that is named after it): plain functions that take a factory and raise AssertionError with what is wrong, `CHECKS` (all of
them, for `pytest.mark.parametrize`) and `run_all`. Plug in your own implementation and run them on it.
"""
