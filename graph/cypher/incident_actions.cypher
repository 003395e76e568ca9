// What was done about an incident.
MATCH (a:Action)-[:RESPONDS_TO]->(:Incident {id: $id})
OPTIONAL MATCH (a)-[:ACTED_ON]->(s:Service)
RETURN a.run AS run, a.playbook AS playbook, a.state AS state, a.time AS time, a.text AS text, a.outcome AS outcome,
  s.service AS service
ORDER BY time, run
