"""Event time: from decoded batches to feature frames, columnar and pure.

Here live the partial aggregates of ingest, the join of callers with callees, the merge of partials into feature frames, and
the watermarks that say when a window may close. Never here: bytes of a wire format, a topic client, or a clock.
"""
