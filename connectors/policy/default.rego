# The built-in policy: what no playbook may do, whoever wrote it. Copy it, change it, and name your file in act.policy
# (or load it into your OPA server). The input is one intended action: see docs, policy input.
#
# deny            a set of reasons; any of them and the action is refused
# needs_approval  true: not before a person has agreed
# allow           neither of both
package homeostat

import rego.v1

default allow := false

default needs_approval := false

allow if {
	count(deny) == 0
	not needs_approval
}

# What is not said is not assumed: an incomplete question gets a no.
complete if {
	is_string(input.environment)
	is_string(input.action.kind)
	is_object(input.action.arguments)
	is_array(input.actions)
	is_string(input.target.cluster)
	is_string(input.target.namespace)
	is_string(input.target.kind)
	is_string(input.target.name)
	is_number(input.playbook.tier)
	is_string(input.approved_by)
}

deny contains "the question is incomplete: environment, action, target, playbook or approved_by is missing" if not complete

# Tier 3 is for a person to approve.
needs_approval if {
	complete
	input.playbook.tier >= 3
	input.approved_by == ""
}

deny contains "the environment is unknown" if input.environment in {"", "unknown"}

# The actions that are installed are part of the question: those built in, and those of plugins. Name your own instead to allow fewer.
deny contains sprintf("no action %s is installed", [input.action.kind]) if not input.action.kind in input.actions

# What keeps the cluster itself alive is not Homeostat's to touch.
protected := {"kube-system", "kube-public", "kube-node-lease"}

# The target is what the actuator will touch, by its own word; what telemetry calls it is not part of the question.
deny contains sprintf("namespace %s is protected", [input.target.namespace]) if input.target.namespace in protected

# Never more than the playbook's guard says; without one, never more than this.
ceiling := 100

max_replicas := object.get(object.get(input.playbook, "guards", {}), "max_replicas", ceiling)

deny contains sprintf("%d replicas are more than the %d allowed", [input.action.arguments.replicas, max_replicas]) if {
	is_number(input.action.arguments.replicas)
	input.action.arguments.replicas > max_replicas
}

deny contains "scale needs a number of replicas, none or more" if {
	input.action.kind == "scale"
	not countable(input.action.arguments)
}

countable(arguments) if {
	is_number(arguments.replicas)
	arguments.replicas >= 0
}
