// The calls between a few services ($keys) at a time ($at, ns).
// All calls of the callers first, then those to one of them: a planner that looks up both ends pairs each with each. It would
// merge a WITH of mere variables into the pattern; it can't look up a key that the WITH has named.
MATCH (a:Service)-[c:CALLS]->(b:Service)
WHERE a.key IN $keys AND c.valid_from <= $at AND (c.valid_to = 0 OR c.valid_to > $at)
WITH a.key AS caller_key, b.key AS callee_key, c.calls AS calls, c.errors AS errors, c.source AS source,
  c.last_seen AS last_seen, c.confidence AS confidence
WHERE callee_key IN $keys
RETURN caller_key, callee_key, calls, errors, source, last_seen, confidence
ORDER BY caller_key, callee_key, last_seen
