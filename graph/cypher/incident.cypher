// One incident.
MATCH (i:Incident {id: $id})
RETURN i AS incident
