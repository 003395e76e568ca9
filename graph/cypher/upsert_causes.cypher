// The ranked causes of incidents. A write holds the whole ranking of each incident it names: what an earlier ranking
// said and this one doesn't is gone.
// row: incident_id text, service_key text, kind text, probability float, rank int, evidence texts, path texts
// row: path_text text, ruled_out text
// unique: incident_id service_key kind
UNWIND $rows AS r
MATCH (i:Incident {id: r.incident_id})-[c:CAUSED_BY]->(:Service)
DELETE c;

UNWIND $rows AS r
MERGE (i:Incident {id: r.incident_id})
MERGE (s:Service {key: r.service_key})
ON CREATE SET s.environment = r.service_environment, s.service = r.service_service, s.kind = '', s.version = '',
  s.attributes = '', s.first_seen = 0, s.last_seen = 0
MERGE (i)-[c:CAUSED_BY {kind: r.kind}]->(s)
SET c.probability = r.probability, c.rank = r.rank, c.evidence = r.evidence, c.path = r.path,
  c.path_text = r.path_text, c.ruled_out = r.ruled_out
