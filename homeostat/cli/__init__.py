"""The `homeostat` command. One file per group of commands; `main` is the console script."""

from homeostat.cli.app import main

__all__ = ["main"]
