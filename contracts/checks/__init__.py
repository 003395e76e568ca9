"""What every implementation of a port must do, as checks that ship with Homeostat.

Each module is one port: plain functions that take a factory and raise AssertionError with what is wrong, `CHECKS` (all of
them, for `pytest.mark.parametrize`) and `run_all`. Plug in your own implementation and run them on it.
"""
