// Services as a person declared them. Labels are what only people say; kind and version give way to telemetry.
// row: key text, environment text, service text, kind text, version text, labels json
// unique: key
UNWIND $rows AS r
MERGE (s:Service {key: r.key})
ON CREATE SET s.environment = r.environment, s.service = r.service, s.kind = '', s.version = '', s.attributes = '',
  s.first_seen = 0, s.last_seen = 0
SET s.labels = r.labels,
  s.kind = CASE WHEN s.last_seen = 0 OR s.kind = '' THEN r.kind ELSE s.kind END,
  s.version = CASE WHEN s.last_seen = 0 OR s.version = '' THEN r.version ELSE s.version END
