// All services of an environment.
MATCH (s:Service)
WHERE s.environment = $environment
RETURN s.key AS key, s.service AS service, s.kind AS kind, s.version AS version, s.attributes AS attributes, s.labels AS labels,
  s.first_seen AS first_seen, s.last_seen AS last_seen
ORDER BY s.key
