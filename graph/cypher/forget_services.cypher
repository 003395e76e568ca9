// Takes services that left out, and their calls: names that strangers make up have no end. Those of which an incident, an anomaly,
// an action or a change tells, and those that are deployed as something, stay for whoever asks about that; so do those seen since.
// row: key text, last_seen int
// unique: key
UNWIND $rows AS r
MATCH (s:Service {key: r.key})
WHERE s.last_seen <= r.last_seen
  AND NOT EXISTS { MATCH (s)<-[:AFFECTS]-(:Anomaly) } AND NOT EXISTS { MATCH (s)<-[:CAUSED_BY]-(:Incident) }
  AND NOT EXISTS { MATCH (s)<-[:ACTED_ON]-(:Action) } AND NOT EXISTS { MATCH (s)<-[:CHANGED]-(:Change) }
  AND NOT EXISTS { MATCH (s)-[:DEPLOYED_AS]->(:Object) }
DETACH DELETE s
