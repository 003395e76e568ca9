"""What is known about the world, and the causes it implies.

Here live the services and calls that a person declares (`topology_file`), the Cypher texts, one per query, for every store (`cypher`), the graph
stores (`stores`), and what reasons over them: the world model (`world`), evidence (`evidence`), grouping of anomalies into incidents
(`grouping`), ranking of causes (`ranking`), put together in `diagnosis`. Never here: a database driver outside `graph.stores`, a
Cypher text inside Python, actions of any kind, or any import of a sibling wing.
"""
