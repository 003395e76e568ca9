// Ends the declared calls of an environment that its declaration no longer says. `kept` holds "caller_key>callee_key".
// row: environment text, time int, kept texts
// unique: environment
UNWIND $rows AS r
MATCH (a:Service)-[c:CALLS]->(b:Service)
WHERE a.environment = r.environment AND c.source = 'yaml' AND c.valid_to = 0
  AND NOT (a.key + '>' + b.key) IN r.kept
SET c.valid_to = r.time
