// One hop up from a set of services ($keys) at a time ($at, ns).
MATCH (a:Service)-[c:CALLS]->(b:Service)
WHERE b.key IN $keys AND c.valid_from <= $at AND (c.valid_to = 0 OR c.valid_to > $at)
RETURN b.key AS near, collect(DISTINCT a.key) AS far
