// Objects of a cluster: what a MERGE looks up is unique; the index is for ending what is no longer there.
CREATE CONSTRAINT homeostat_object IF NOT EXISTS FOR (n:Object) REQUIRE n.id IS UNIQUE;
CREATE INDEX homeostat_object_kind IF NOT EXISTS FOR (n:Object) ON (n.environment, n.kind);
