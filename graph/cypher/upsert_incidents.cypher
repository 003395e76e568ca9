// Incidents, and the anomalies that are part of each. An older word on the same incident changes nothing.
// row: id text, environment text, phase text, severity text, onset int, time int, confidence float, text text
// row: anomalies texts
// unique: id
UNWIND $rows AS r
MERGE (i:Incident {id: r.id})
WITH i, r
WHERE r.time >= coalesce(i.time, 0)
SET i.environment = r.environment, i.phase = r.phase, i.severity = r.severity, i.onset = r.onset, i.time = r.time,
  i.confidence = r.confidence, i.text = r.text;

UNWIND $rows AS r
UNWIND r.anomalies AS anomaly
MERGE (i:Incident {id: r.id})
MERGE (a:Anomaly {id: anomaly})
MERGE (a)-[:PART_OF]->(i)
