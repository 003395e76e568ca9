// The ranked causes of an incident.
MATCH (:Incident {id: $id})-[c:CAUSED_BY]->(s:Service)
RETURN s.service AS service, s.key AS service_key, c.kind AS kind, c.probability AS probability, c.rank AS rank,
  c.evidence AS evidence, c.path AS path, c.path_text AS path_text, c.ruled_out AS ruled_out
ORDER BY rank, service, kind
