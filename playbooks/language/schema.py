"""The JSON schema of a playbook, for editors: made from the tables that the reader uses.

It knows what a single value may be and which keys there are. What holds between values (steps that need each other,
expressions, replica bounds) is for `homeostat playbook lint`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from playbooks.language.tables import PLAYBOOK

FILE: Final = Path(__file__).parent / "playbook.schema.json"
"""The schema as shipped."""


def json_schema() -> dict[str, Any]:
    """JSON schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Homeostat playbook",
        "description": "A remedy for kinds of root causes, and all that limits it.",
        **PLAYBOOK.schema(),
    }


def schema_text() -> str:
    """The schema as a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
