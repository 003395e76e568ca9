// Which object owns which, which pod runs on which node, which autoscaler scales what, with the interval in which that
// holds. `link` is owns, runs_on or scales.
// row: from_id text, to_id text, link text, valid_from int, valid_to int, time int
// unique: from_id to_id valid_from
UNWIND $rows AS r
WITH r
WHERE r.link = 'owns'
MERGE (a:Object {id: r.from_id})
MERGE (b:Object {id: r.to_id})
MERGE (a)-[c:OWNS {valid_from: r.valid_from}]->(b)
WITH c, r
WHERE r.time >= coalesce(c.time, 0)
SET c.valid_to = r.valid_to, c.time = r.time;

UNWIND $rows AS r
WITH r
WHERE r.link = 'runs_on'
MERGE (a:Object {id: r.from_id})
MERGE (b:Object {id: r.to_id})
MERGE (a)-[c:RUNS_ON {valid_from: r.valid_from}]->(b)
WITH c, r
WHERE r.time >= coalesce(c.time, 0)
SET c.valid_to = r.valid_to, c.time = r.time;

UNWIND $rows AS r
WITH r
WHERE r.link = 'scales'
MERGE (a:Object {id: r.from_id})
MERGE (b:Object {id: r.to_id})
MERGE (a)-[c:SCALES {valid_from: r.valid_from}]->(b)
WITH c, r
WHERE r.time >= coalesce(c.time, 0)
SET c.valid_to = r.valid_to, c.time = r.time
