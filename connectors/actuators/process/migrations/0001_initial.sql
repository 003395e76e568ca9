-- What a service should be. `generation` counts the changes.
CREATE TABLE services (
    name             TEXT PRIMARY KEY,
    replicas         INTEGER NOT NULL,
    version          TEXT NOT NULL,
    previous_version TEXT NOT NULL,
    generation       INTEGER NOT NULL
) STRICT;

-- One effect each, by its idempotency key. `running` is written before the effect, the outcome after it.
CREATE TABLE operations (
    key         TEXT PRIMARY KEY,
    service     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    arguments   TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'unknown')),
    text        TEXT NOT NULL,
    result      TEXT NOT NULL,
    begun_ns    INTEGER NOT NULL,
    changed_ns  INTEGER NOT NULL
) STRICT;

-- How often the manager was started: instances are numbered anew each time, and must not be mistaken for older ones.
CREATE TABLE starts (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ns INTEGER NOT NULL
) STRICT;
