"""What is known about the world, and the causes it implies.

Here live the topology with its validity intervals, the Cypher texts (one per query, for every store), the graph stores,
and what reasons over them: evidence channels, grouping of anomalies into incidents, ranking of causes, the world model.
Never here: a database driver outside `graph.stores`, a Cypher text inside Python, actions of any kind, or any import of
a sibling wing.
"""
