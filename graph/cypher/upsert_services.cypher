// Services as seen in telemetry. The newest word wins, but an empty word never hides an earlier one.
// row: key text, environment text, service text, kind text, version text, attributes json, first_seen int, last_seen int
// unique: key
UNWIND $rows AS r
MERGE (s:Service {key: r.key})
ON CREATE SET s.environment = r.environment, s.service = r.service, s.kind = '', s.version = '', s.attributes = '',
  s.first_seen = r.first_seen, s.last_seen = r.last_seen
SET s.first_seen = CASE
    WHEN r.first_seen > 0 AND (s.first_seen = 0 OR r.first_seen < s.first_seen) THEN r.first_seen ELSE s.first_seen END
WITH s, r
WHERE r.last_seen >= s.last_seen
SET s.last_seen = r.last_seen,
  s.kind = CASE WHEN r.kind = '' THEN s.kind ELSE r.kind END,
  s.version = CASE WHEN r.version = '' THEN s.version ELSE r.version END,
  s.attributes = CASE WHEN r.attributes = '' OR r.attributes = '{}' THEN s.attributes ELSE r.attributes END
