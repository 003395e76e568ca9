"""How a callee is called that nobody answers for: by the name that its callers chose, behind a prefix."""

from typing import Final

EXTERNAL: Final = "external:"
"""Prefix of such a name: `external:api.bank.example`."""
