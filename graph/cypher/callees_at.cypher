// One hop down from a set of services ($keys) at a time ($at, ns): just who, as a search asks this of many.
MATCH (a:Service)-[c:CALLS]->(b:Service)
WHERE a.key IN $keys AND c.valid_from <= $at AND (c.valid_to = 0 OR c.valid_to > $at)
RETURN DISTINCT a.key AS near, b.key AS far
