// The calls between a few services ($keys) at a time ($at, ns).
// Callers first, then their calls: who looks both up and pairs them all has most pairs for nothing.
MATCH (a:Service)
WHERE a.key IN $keys
WITH a
MATCH (a)-[c:CALLS]->(b:Service)
WHERE b.key IN $keys AND c.valid_from <= $at AND (c.valid_to = 0 OR c.valid_to > $at)
RETURN a.key AS caller_key, b.key AS callee_key, c.calls AS calls, c.errors AS errors, c.source AS source,
  c.last_seen AS last_seen, c.confidence AS confidence
ORDER BY caller_key, callee_key, last_seen
