// Who calls whom, with the interval in which that holds. valid_to = 0: it still holds. One relationship per interval.
// row: caller_key text, callee_key text, valid_from int, valid_to int, last_seen int, calls int, errors int
// row: source text, confidence float
// unique: caller_key callee_key valid_from
UNWIND $rows AS r
MERGE (a:Service {key: r.caller_key})
ON CREATE SET a.environment = r.caller_environment, a.service = r.caller_service, a.kind = '', a.version = '',
  a.attributes = '', a.first_seen = 0, a.last_seen = 0
MERGE (b:Service {key: r.callee_key})
ON CREATE SET b.environment = r.callee_environment, b.service = r.callee_service, b.kind = '', b.version = '',
  b.attributes = '', b.first_seen = 0, b.last_seen = 0
MERGE (a)-[c:CALLS {valid_from: r.valid_from}]->(b)
WITH c, r
WHERE r.last_seen >= coalesce(c.last_seen, 0)
SET c.valid_to = r.valid_to, c.last_seen = r.last_seen, c.calls = r.calls, c.errors = r.errors, c.source = r.source,
  c.confidence = r.confidence
