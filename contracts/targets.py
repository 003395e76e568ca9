"""What is acted on: a target as telemetry claims it, its identity as its own system knows it, its state, and who acted on it last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import msgspec

from contracts.sanitizing import plain

_LONGEST: Final = 100
"""Characters of what somebody else wrote that are told."""
RELEASE_MARK: Final = "#"
"""Between a version and the mark of one of several releases that have it (another setting or limit): no tag of an image contains it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is aimed at: a service of an environment, with the identity attributes telemetry gave for it.

    All of it is a claim: whoever may send telemetry chose it. What it comes to is an `Identity`.
    """

    environment: str
    service: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """What will really be touched, as its own system knows it. Two names that lead to one thing have one identity.

    `scope` names the system: `kubernetes:<uid of the cluster>`, `process:<address of the manager>`. `uid` is that of the
    present incarnation, where the system has one: what was deleted and made anew has another. `attributes` say the same in
    telemetry's words (`k8s.namespace.name`), and nothing that the system does not vouch for.
    """

    scope: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What guards count by. The uid is left out: a pause after a repair outlives a re-creation under the same name."""
        return "/".join(quote(part, safe=":") for part in (self.scope, self.kind, self.namespace, self.name))

    @property
    def words(self) -> str:
        """For people: `Deployment shop/cart in kubernetes:6f0c…`."""
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name} in {self.scope}"


@dataclass(frozen=True, slots=True)
class Mark:
    """Who acted on a thing last, as the thing itself tells: by which an installation of Homeostat knows of others that act on it, too.

    `by` is the name of an installation (`act.installation`), `action` what it did, `time_ns` when by its own clock.
    """

    by: str
    action: str
    time_ns: int

    @property
    def text(self) -> str:
        """As it is kept where only text can be."""
        return msgspec.json.encode(self).decode()

    @property
    def words(self) -> str:
        """For people: `homeostat@kx2… (restart)`."""
        return f"{self.by} ({self.action})"

    @classmethod
    def of(cls, text: str) -> Mark | None:
        """From its text; None where there is none. What can't be read is a mark of somebody who acted at no time."""
        if not text:
            return None
        try:
            found = msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError:
            return cls("somebody", "unknown", 0)
        return cls(plain(found.by)[:_LONGEST], plain(found.action)[:_LONGEST], found.time_ns)


@dataclass(frozen=True, slots=True)
class TargetState:
    """What the actuator knows of a target now. `replicas` are wanted, `ready` are serving.

    `previous_version`: the release before this one, by its version; with its mark (after `RELEASE_MARK`) where the present one has the same.
    `most`: more replicas than this are not to be had, as whoever owns the target's own autoscaler says; None: no such limit.
    `identity`: what this is the state of, as `resolve` gives it.
    `disrupts`: ready instances that a rolling restart or a roll-back takes away before others serve; None: not known.
    `refusals`: why the actuator would not do an action, by its name or `Action.variant` (`restart/rolling`), and what to do instead:
    whoever owns the target decides. What isn't in it may be done as far as that goes.
    `acted`: who acted on it last, as itself tells; None where nobody did, or its system can't keep that.
    """

    replicas: int
    ready: int
    version: str = ""
    previous_version: str = ""
    generation: str = ""
    instances: tuple[str, ...] = ()
    detail: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None
    identity: Identity | None = None
    disrupts: int | None = None
    refusals: Mapping[str, str] = field(default_factory=dict)
    acted: Mark | None = None
