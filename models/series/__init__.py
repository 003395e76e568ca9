"""General series: any measured number with a name, judged by itself and beside the others of its group.

Here live how far a point lies from what was forecast (`residuals`, with its season in `season`), how rare that is (`tails`), what single
series and groups say together (`scorer`), and when that is told (`series_watch`, `alarms`). Nothing is known of a series before its first point: not its
range, not its period, not its kind.
"""
