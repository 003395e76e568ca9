// Services of these names ($names), or whose names end so ($ending).
MATCH (s:Service)
WHERE s.service IN $names OR s.service ENDS WITH $ending
RETURN s.key AS key, s.environment AS environment, s.service AS service, s.kind AS kind, s.version AS version,
  s.attributes AS attributes, s.last_seen AS last_seen
ORDER BY s.key
LIMIT 20
