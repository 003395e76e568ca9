// What changed on the suspected services of an incident between $since and $until (ns).
MATCH (:Incident {id: $id})-[:CAUSED_BY]->(s:Service)
MATCH (c:Change)-[:CHANGED]->(s)
WHERE c.time >= $since AND c.time <= $until
RETURN DISTINCT c.id AS id, s.service AS service, c.kind AS kind, c.time AS time, c.actor AS actor,
  c.before AS before, c.after AS after, c.text AS text
ORDER BY time, id
