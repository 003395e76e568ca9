// One hop down from a set of services ($keys) at a time ($at, ns): just who, as a search asks this of many. A row per service
// asked about, not per call: drivers take longer over rows than the store over calls.
MATCH (a:Service)-[c:CALLS]->(b:Service)
WHERE a.key IN $keys AND c.valid_from <= $at AND (c.valid_to = 0 OR c.valid_to > $at)
RETURN a.key AS near, collect(DISTINCT b.key) AS far
