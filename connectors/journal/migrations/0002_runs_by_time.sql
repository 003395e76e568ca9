-- What was done lately, in whatever environment: guards ask for it before each effect.
CREATE INDEX runs_by_time ON runs (created_ns, run);
