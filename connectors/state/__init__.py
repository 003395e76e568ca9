"""Where stages keep snapshots of their state: a file, or a compacted topic that any worker can read."""
