// The anomalies of an incident and the services they affect.
MATCH (a:Anomaly)-[:PART_OF]->(:Incident {id: $id})
OPTIONAL MATCH (a)-[:AFFECTS]->(s:Service)
RETURN a.id AS id, s.service AS service, a.phase AS phase, a.onset AS onset, a.decades AS decades, a.text AS text
ORDER BY onset, id
