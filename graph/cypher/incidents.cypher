// The newest incidents.
MATCH (i:Incident)
RETURN i.id AS id, i.environment AS environment, i.phase AS phase, i.severity AS severity, i.onset AS onset,
  i.text AS text
ORDER BY i.onset DESC, i.id
LIMIT $limit
