// Ends the objects of a kind, in a namespace ('' is all), that are no longer there: all but those whose ids are in `kept`.
// What went while nobody looked ends with the time at which that was noticed; and with the objects their links.
// row: environment text, kind text, namespace text, time int, kept texts
// unique: environment kind namespace
UNWIND $rows AS r
MATCH (o:Object)
WHERE o.environment = r.environment AND o.kind = r.kind AND (r.namespace = '' OR o.namespace = r.namespace)
  AND o.valid_to = 0 AND o.time <= r.time AND NOT o.id IN r.kept
SET o.valid_to = r.time, o.time = r.time;

UNWIND $rows AS r
MATCH (:Object)-[c:OWNS]->(o:Object)
WHERE o.environment = r.environment AND o.kind = r.kind AND o.valid_to = r.time AND c.valid_to = 0
SET c.valid_to = r.time;

UNWIND $rows AS r
MATCH (o:Object)-[c:RUNS_ON]->(:Object)
WHERE o.environment = r.environment AND o.kind = r.kind AND o.valid_to = r.time AND c.valid_to = 0
SET c.valid_to = r.time;

UNWIND $rows AS r
MATCH (o:Object)-[c:SCALES]->(:Object)
WHERE o.environment = r.environment AND o.kind = r.kind AND o.valid_to = r.time AND c.valid_to = 0
SET c.valid_to = r.time;

UNWIND $rows AS r
MATCH (:Service)-[c:DEPLOYED_AS]->(o:Object)
WHERE o.environment = r.environment AND o.kind = r.kind AND o.valid_to = r.time AND c.valid_to = 0
SET c.valid_to = r.time
