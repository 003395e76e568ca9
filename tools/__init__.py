"""Checks of the repository itself, run by `make check`; never imported by the product and not in the wheel."""
