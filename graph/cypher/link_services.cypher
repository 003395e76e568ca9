// Which objects a service is deployed as, with the interval in which that holds.
// row: service_key text, object_id text, valid_from int, valid_to int, time int
// unique: service_key object_id valid_from
UNWIND $rows AS r
MERGE (s:Service {key: r.service_key})
ON CREATE SET s.environment = r.service_environment, s.service = r.service_service, s.kind = '', s.version = '',
  s.attributes = '', s.first_seen = 0, s.last_seen = 0
MERGE (o:Object {id: r.object_id})
MERGE (s)-[c:DEPLOYED_AS {valid_from: r.valid_from}]->(o)
WITH c, r
WHERE r.time >= coalesce(c.time, 0)
SET c.valid_to = r.valid_to, c.time = r.time
