// Objects of a cluster: what runs where, and who owns it.
CREATE NODE TABLE IF NOT EXISTS Object(id STRING PRIMARY KEY, environment STRING, kind STRING, namespace STRING,
  name STRING, uid STRING, version STRING, state STRING, replicas INT64, valid_from INT64, valid_to INT64, time INT64);
CREATE REL TABLE IF NOT EXISTS OWNS(FROM Object TO Object, valid_from INT64, valid_to INT64, time INT64);
CREATE REL TABLE IF NOT EXISTS RUNS_ON(FROM Object TO Object, valid_from INT64, valid_to INT64, time INT64);
CREATE REL TABLE IF NOT EXISTS SCALES(FROM Object TO Object, valid_from INT64, valid_to INT64, time INT64);
CREATE REL TABLE IF NOT EXISTS DEPLOYED_AS(FROM Service TO Object, valid_from INT64, valid_to INT64, time INT64);
