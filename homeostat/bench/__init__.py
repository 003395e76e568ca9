"""Benches: each measures one part against a named alternative or on labelled cases, and prints ratios and scores.

They may look into every wing, as nothing but the command line imports them.
"""
