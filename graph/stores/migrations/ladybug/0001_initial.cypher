// Tables: Ladybug stores nodes and relationships by declared columns.
CREATE NODE TABLE IF NOT EXISTS Service(key STRING PRIMARY KEY, environment STRING, service STRING, kind STRING,
  version STRING, attributes STRING, labels STRING, first_seen INT64, last_seen INT64);
CREATE NODE TABLE IF NOT EXISTS Anomaly(id STRING PRIMARY KEY, environment STRING, phase STRING, onset INT64,
  time INT64, p_value DOUBLE, decades DOUBLE, text STRING);
CREATE NODE TABLE IF NOT EXISTS Incident(id STRING PRIMARY KEY, environment STRING, phase STRING, severity STRING,
  onset INT64, time INT64, confidence DOUBLE, text STRING);
CREATE NODE TABLE IF NOT EXISTS Action(run STRING PRIMARY KEY, environment STRING, playbook STRING, state STRING,
  time INT64, text STRING, outcome STRING);
CREATE NODE TABLE IF NOT EXISTS Playbook(name STRING PRIMARY KEY);
CREATE NODE TABLE IF NOT EXISTS Change(id STRING PRIMARY KEY, kind STRING, time INT64, actor STRING, before STRING,
  after STRING, text STRING);
CREATE REL TABLE IF NOT EXISTS CALLS(FROM Service TO Service, valid_from INT64, valid_to INT64, last_seen INT64,
  calls INT64, errors INT64, source STRING, confidence DOUBLE);
CREATE REL TABLE IF NOT EXISTS AFFECTS(FROM Anomaly TO Service);
CREATE REL TABLE IF NOT EXISTS PART_OF(FROM Anomaly TO Incident);
CREATE REL TABLE IF NOT EXISTS CAUSED_BY(FROM Incident TO Service, kind STRING, probability DOUBLE, rank INT64,
  evidence STRING[], path STRING[], path_text STRING, ruled_out STRING);
CREATE REL TABLE IF NOT EXISTS ACTED_ON(FROM Action TO Service);
CREATE REL TABLE IF NOT EXISTS RESPONDS_TO(FROM Action TO Incident);
CREATE REL TABLE IF NOT EXISTS RUNS(FROM Action TO Playbook);
CREATE REL TABLE IF NOT EXISTS CHANGED(FROM Change TO Service);
