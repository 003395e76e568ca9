-- One row per run. `decision` is unique: a decision has at most one run, whoever asks and however often.
CREATE TABLE runs (
    run TEXT PRIMARY KEY,
    decision TEXT NOT NULL UNIQUE,
    environment TEXT NOT NULL,
    target TEXT NOT NULL,
    playbook TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    definition TEXT NOT NULL
) STRICT;
CREATE INDEX runs_by_creation ON runs (environment, created_ns);
CREATE INDEX runs_by_state ON runs (state);

-- Append-only, in order of `line`.
CREATE TABLE steps (
    line INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL REFERENCES runs (run),
    step TEXT NOT NULL,
    phase TEXT NOT NULL,
    key TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX steps_by_run ON steps (run, line);

CREATE TABLE facts (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    environment TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    record BLOB NOT NULL,
    published INTEGER NOT NULL,
    PRIMARY KEY (environment, sequence)
) STRICT;
CREATE INDEX audit_unpublished ON audit (environment, sequence) WHERE published = 0;
