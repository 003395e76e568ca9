// The calls of an environment as they were at a time ($at, ns).
MATCH (a:Service)-[c:CALLS]->(b:Service)
WHERE a.environment = $environment AND c.valid_from <= $at AND (c.valid_to = 0 OR c.valid_to > $at)
RETURN a.key AS caller_key, b.key AS callee_key, c.valid_from AS valid_from, c.valid_to AS valid_to,
  c.last_seen AS last_seen, c.calls AS calls, c.errors AS errors, c.source AS source, c.confidence AS confidence
ORDER BY caller_key, callee_key, valid_from
