// Anomalies, and which service each affects. An older word on the same anomaly changes nothing.
// row: id text, service_key text, environment text, phase text, onset int, time int, p_value float, decades float
// row: text text
// unique: id
UNWIND $rows AS r
MERGE (s:Service {key: r.service_key})
ON CREATE SET s.environment = r.service_environment, s.service = r.service_service, s.kind = '', s.version = '',
  s.attributes = '', s.first_seen = 0, s.last_seen = 0
MERGE (a:Anomaly {id: r.id})
MERGE (a)-[:AFFECTS]->(s)
WITH a, r
WHERE r.time >= coalesce(a.time, 0)
SET a.environment = r.environment, a.phase = r.phase, a.onset = r.onset, a.time = r.time, a.p_value = r.p_value,
  a.decades = r.decades, a.text = r.text
