"""The Cypher texts, one per question or write, the same for every store.

A text is a file `<name>.cypher` in this folder. A *write* starts with a header that says what its rows are made of:

    // row: caller_key text, callee_key text, valid_from int
    // unique: caller_key callee_key valid_from

The types are text, int (64 bits), float, bool, texts (list of text) and json. `unique` names the columns that tell one
thing written from another: two rows of one batch that agree in them are written one after the other, so the later wins
in stores that would otherwise see them at once. A column `x_key` of the form `environment|service` brings two more,
`x_environment` and `x_service`. A text may hold several statements, separated by semicolons; a write runs each for all
rows, in order, in one transaction.
"""

from graph.cypher.statement import Column, Statement, names, statement, text

__all__ = ["Column", "Statement", "names", "statement", "text"]
