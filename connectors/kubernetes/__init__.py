"""A cluster as a source: what runs where and who owns it, and what changes, read from the API server by list and watch.

`access` (credentials), `transport` (HTTP) and `failures` (the one map of errors) are the way to an API server, for the actuator
`kubernetes`, too. `api` lists and watches, `informer` keeps one resource current. The rest is pure: `read` makes slim
records (`objects`) of JSON (`wire`), `diff` says what of two records is worth telling, `rows` what the graph is told,
`model` puts these together; `addresses` says which service answers where. `watcher` is the shell around all. Here live readers of a cluster, and the way to it; never anything that changes it.

Deploy note: what its service account needs, cluster-wide, or as a Role in each of `kubernetes.namespaces` (nodes are
cluster-scoped and always need a ClusterRole; without them everything but node changes works):

    rules:
      - apiGroups: [""]
        resources: [pods, nodes, events, services]
        verbs: [get, list, watch]
      - apiGroups: [discovery.k8s.io]
        resources: [endpointslices]
        verbs: [get, list, watch]
      - apiGroups: [apps]
        resources: [deployments, statefulsets, daemonsets, replicasets]
        verbs: [get, list, watch]
      - apiGroups: [autoscaling]
        resources: [horizontalpodautoscalers]
        verbs: [get, list, watch]

ConfigMaps and Secrets are never read: a changed reference, or a changed checksum annotation, shows in the pod template.
"""
