"""The record of a stage's handling: written as it handles (`recorder`), and played again from the log (`player`)."""
