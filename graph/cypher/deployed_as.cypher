// Which services these objects ($ids) are deployed for.
MATCH (s:Service)-[c:DEPLOYED_AS]->(o:Object)
WHERE o.id IN $ids AND c.valid_to = 0
RETURN o.id AS id, s.environment AS environment, s.service AS service
ORDER BY o.id, s.key
