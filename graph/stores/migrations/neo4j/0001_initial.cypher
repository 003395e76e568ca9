// Constraints: what a MERGE looks up is unique, also with several writers. Indexes: what the texts filter and sort by.
CREATE CONSTRAINT homeostat_service IF NOT EXISTS FOR (n:Service) REQUIRE n.key IS UNIQUE;
CREATE CONSTRAINT homeostat_anomaly IF NOT EXISTS FOR (n:Anomaly) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT homeostat_incident IF NOT EXISTS FOR (n:Incident) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT homeostat_action IF NOT EXISTS FOR (n:Action) REQUIRE n.run IS UNIQUE;
CREATE CONSTRAINT homeostat_playbook IF NOT EXISTS FOR (n:Playbook) REQUIRE n.name IS UNIQUE;
CREATE CONSTRAINT homeostat_change IF NOT EXISTS FOR (n:Change) REQUIRE n.id IS UNIQUE;
CREATE INDEX homeostat_service_environment IF NOT EXISTS FOR (n:Service) ON (n.environment);
CREATE INDEX homeostat_incident_onset IF NOT EXISTS FOR (n:Incident) ON (n.onset);
CREATE INDEX homeostat_change_time IF NOT EXISTS FOR (n:Change) ON (n.time);
