// Deploys, configuration changes, scalings: what changed on which service.
// row: id text, service_key text, kind text, time int, actor text, before text, after text, text text
// unique: id
UNWIND $rows AS r
MERGE (s:Service {key: r.service_key})
ON CREATE SET s.environment = r.service_environment, s.service = r.service_service, s.kind = '', s.version = '',
  s.attributes = '', s.first_seen = 0, s.last_seen = 0
MERGE (c:Change {id: r.id})
MERGE (c)-[:CHANGED]->(s)
SET c.kind = r.kind, c.time = r.time, c.actor = r.actor, c.before = r.before, c.after = r.after, c.text = r.text
