// Runs of playbooks: what was acted on, for which incident, and how it ended. An older word on a run changes nothing.
// row: run text, incident text, environment text, service_key text, playbook text, state text, time int, text text
// row: outcome text
// unique: run
UNWIND $rows AS r
MERGE (a:Action {run: r.run})
WITH a, r
WHERE r.time >= coalesce(a.time, 0)
SET a.environment = r.environment, a.state = r.state, a.time = r.time, a.text = r.text, a.playbook = r.playbook,
  a.outcome = CASE WHEN r.outcome = '' THEN coalesce(a.outcome, '') ELSE r.outcome END;

UNWIND $rows AS r
WITH r
WHERE r.service_key <> ''
MERGE (s:Service {key: r.service_key})
ON CREATE SET s.environment = r.service_environment, s.service = r.service_service, s.kind = '', s.version = '',
  s.attributes = '', s.first_seen = 0, s.last_seen = 0
MERGE (a:Action {run: r.run})
MERGE (a)-[:ACTED_ON]->(s);

UNWIND $rows AS r
WITH r
WHERE r.incident <> ''
MERGE (i:Incident {id: r.incident})
MERGE (a:Action {run: r.run})
MERGE (a)-[:RESPONDS_TO]->(i);

UNWIND $rows AS r
WITH r
WHERE r.playbook <> ''
MERGE (p:Playbook {name: r.playbook})
MERGE (a:Action {run: r.run})
MERGE (a)-[:RUNS]->(p)
