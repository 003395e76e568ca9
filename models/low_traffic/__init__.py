"""Services with so few requests that no single window can be told from chance: what the last minute says together.

`latency` pools the time that requests take, `counts` what follows them (calls, error records), `reasons` says what of it is unusual, `watch` looks at all of it from time
to time and tells of what lasts beyond what was usual.
"""
