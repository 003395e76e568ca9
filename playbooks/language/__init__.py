"""The playbook language: YAML in, `Playbook` values out, every mistake with file, line, column and a suggestion."""

from playbooks.language.model import Check, Guards, Match, Playbook, Step, Trigger, Verify
from playbooks.language.problems import Problem
from playbooks.language.reader import by_name, inspect, library, lint, lint_all, read, read_all

__all__ = [
    "Check",
    "Guards",
    "Match",
    "Playbook",
    "Problem",
    "Step",
    "Trigger",
    "Verify",
    "by_name",
    "inspect",
    "library",
    "lint",
    "lint_all",
    "read",
    "read_all",
]
