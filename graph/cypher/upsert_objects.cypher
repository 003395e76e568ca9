// Objects of a cluster (Deployments, ReplicaSets, Pods, Nodes, …) with the time in which they were there. valid_to = 0: they
// still are. An older word on the same object changes nothing.
// row: id text, environment text, kind text, namespace text, name text, uid text, version text, state text
// row: replicas int, valid_from int, valid_to int, time int
// unique: id
UNWIND $rows AS r
MERGE (o:Object {id: r.id})
WITH o, r
WHERE r.time >= coalesce(o.time, 0)
SET o.environment = r.environment, o.kind = r.kind, o.namespace = r.namespace, o.name = r.name, o.uid = r.uid,
  o.version = r.version, o.state = r.state, o.replicas = r.replicas, o.valid_from = r.valid_from,
  o.valid_to = r.valid_to, o.time = r.time
