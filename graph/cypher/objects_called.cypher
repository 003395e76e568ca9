// Objects of a cluster of this name or uid ($name), and what owns them.
MATCH (o:Object)
WHERE o.name = $name OR o.uid = $name
OPTIONAL MATCH (a:Object)-[:OWNS]->(o)
OPTIONAL MATCH (b:Object)-[:OWNS]->(a)
RETURN o.id AS id, o.kind AS kind, o.namespace AS namespace, o.name AS name, o.uid AS uid, o.state AS state,
  o.valid_to AS valid_to, a.id AS owner, b.id AS top
ORDER BY o.id
LIMIT 20
