"""What a stranger may send to an environment of his: floods, lies about time and identity, and bytes that are nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW
from contracts.units import SECOND
from tests.unit.connectors.otlp import builders
from tests.unit.streams.windows.support import CLIENT, INTERNAL, MS, SERVER, Span, otlp

Message = tuple[str, bytes]
EVIL: Final = "evil"
VICTIMS: Final = ("gateway", "checkout", "payment")
EACH: Final = 12
"""Messages of one kind a second, or records in one of them, where it is a flood."""


class Stranger:
    """Knows what the victim sends (`overheard`), and the time."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.overheard: list[bytes] = []
        self.step = 0

    def spans(self, spans: list[Span], environment: str = EVIL) -> Message:
        """A message of spans; environments may be any text as long as `prod`, or longer."""
        payload = otlp(spans)
        return OTLP_SPANS, _in_environment(payload, environment)

    def request(self, service: str, end: int, *, error: bool = False, ms: int = 10) -> Span:
        """A request that a service claims to have served."""
        return Span(service, self.id(), self.id(), 0, SERVER, end - ms * MS, end, error)

    def id(self) -> int:
        """Any id."""
        return self.rng.getrandbits(63) | 1

    def name(self) -> str:
        """Any name, plain or not."""
        return self.rng.choice(
            (
                "".join(self.rng.choices("bcdghjklm", k=9)),
                f"job-{self.rng.randrange(10**6)}",
                "\u202ex" * 9,
                "a/../b",
                f"{self.id():032x}",
            )
        )


Attack = Callable[[Stranger, int], Iterator[Message]]


def future(s: Stranger, now: int) -> Iterator[Message]:
    """Clocks ahead, by seconds to centuries."""
    for ahead in (1, 50, 89, 91, 3600, 10**9):
        yield s.spans([s.request("x", now + ahead * SECOND)])


def past(s: Stranger, now: int) -> Iterator[Message]:
    """Clocks behind, to 1970."""
    for behind in (1, 50, 89, 91, 3600, 10**9):
        yield s.spans([s.request("x", now - behind * SECOND)])


def creeping(s: Stranger, now: int) -> Iterator[Message]:
    """Each message a little ahead of the last, as far as that would be believed of it."""
    for _ in range(EACH):
        s.step += 85
        yield s.spans([s.request("x", now + s.step * SECOND)])


def services(s: Stranger, now: int) -> Iterator[Message]:
    """New services all the time."""
    yield s.spans([s.request(s.name(), now) for _ in range(5 * EACH)])


def edges(s: Stranger, now: int) -> Iterator[Message]:
    """Everybody calls everybody."""
    names, spans = [s.name() for _ in range(EACH)], []
    for _ in range(5 * EACH):
        caller, callee = s.rng.sample(names, 2)
        trace, span = s.id(), s.id()
        spans.append(Span(caller, trace, span, 0, CLIENT, now - 20 * MS, now, peer=f"db:postgresql/{s.id()}"))
        spans.append(Span(callee, trace, s.id(), span, SERVER, now - 15 * MS, now - 5 * MS))
    yield s.spans(spans)


def templates(s: Stranger, now: int) -> Iterator[Message]:
    """No line of a log like another, in the names of others."""
    for service in VICTIMS:
        rows = [_log(f"word{''.join(s.rng.choices('abcdefgh', k=12))} failed", now) for _ in range(2 * EACH)]
        yield OTLP_LOGS, builders.logs(_resource(service), *rows).SerializeToString()


def giants(s: Stranger, now: int) -> Iterator[Message]:
    """Few messages, large ones."""
    yield s.spans([s.request("g" * 50_000, now), s.request("h", now, ms=10**9)])
    yield OTLP_LOGS, builders.logs(_resource("x"), _log("z" * 300_000, now)).SerializeToString()


def repeated(s: Stranger, now: int) -> Iterator[Message]:
    """The same span again and again."""
    one = s.request("x", now)
    for _ in range(EACH):
        yield s.spans([one] * 5)


def copied(s: Stranger, now: int) -> Iterator[Message]:
    """The victim's own messages, as if from elsewhere: the same traces, spans and services."""
    for payload in s.overheard[-6:]:
        yield OTLP_SPANS, _in_environment(payload, EVIL)


def impostors(s: Stranger, now: int) -> Iterator[Message]:
    """Services of the victim's names that fail, or hang."""
    for service in VICTIMS:
        yield s.spans([s.request(service, now, error=True, ms=s.rng.choice((1, 90_000))) for _ in range(EACH)])


def garbage(s: Stranger, now: int) -> Iterator[Message]:
    """Bytes that are nothing, or nearly something."""
    for topic in (OTLP_SPANS, OTLP_METRICS, OTLP_LOGS, RAW):
        yield topic, s.rng.randbytes(200)
        broken = bytearray(_in_environment(s.overheard[-1], EVIL) if s.overheard else b"{}")
        for _ in range(3):
            del broken[s.rng.randrange(max(1, len(broken) // 2)) :: 97]
        yield topic, bytes(broken)
    yield OTLP_SPANS, b'{"resourceSpans": [' * 2000


def series(s: Stranger, now: int) -> Iterator[Message]:
    """Metrics in new series all the time, and numbers that are none."""
    message, scope = builders.metrics(_resource(s.rng.choice(VICTIMS)))
    for _ in range(5 * EACH):
        value = s.rng.choice((0.5, float("nan"), float("inf"), 1e300))
        builders.gauge(scope, "process.cpu.utilization", value, "1", now, pod=str(s.id()))
    yield OTLP_METRICS, message.SerializeToString()


def environments(s: Stranger, now: int) -> Iterator[Message]:
    """New environments all the time, and such as look like the victim's."""
    for name in ["".join(s.rng.choices("bcdghjklm", k=9)) for _ in range(EACH)] + [
        "PROD",
        "prod/",
        "*",
        "pr\u200bod",
        "prod-2",
    ]:
        yield s.spans([s.request("payment", now, error=True)], name)


def measurements(s: Stranger, now: int) -> Iterator[Message]:
    """On the topic for anyone."""
    for service in (*VICTIMS, s.name()):
        body = {
            "service": service,
            "timestamp": now / SECOND,
            "environment": EVIL,
            "responses": [{"status": 500}] * EACH,
        }
        yield RAW, json.dumps(body).encode()


def skewed(s: Stranger, now: int) -> Iterator[Message]:
    """Children long before their parents, in the victim's names."""
    spans = []
    for _ in range(EACH):
        trace, span, off = s.id(), s.id(), s.rng.choice((30, 80)) * SECOND
        spans.append(Span("checkout", trace, span, 0, CLIENT, now - 20 * MS, now))
        spans.append(Span("payment", trace, s.id(), span, SERVER, now - 15 * MS - off, now - 5 * MS - off))
        spans.append(Span("cron", s.id(), s.id(), 0, INTERNAL, now - off, now))
    for span in spans:
        yield s.spans([span])


ATTACKS: Final[tuple[Attack, ...]] = (
    future,
    past,
    creeping,
    services,
    edges,
    templates,
    giants,
    repeated,
    copied,
    impostors,
    garbage,
    series,
    environments,
    measurements,
    skewed,
)


def _resource(service: str) -> dict[str, str]:
    return {"service.name": service, "deployment.environment.name": EVIL}


def _log(body: str, now: int) -> dict[str, object]:
    return {"time_unix_nano": now, "severity_number": 17, "body": body}


def _in_environment(payload: bytes, environment: str) -> bytes:
    message = TracesData.FromString(payload)
    for entry in message.resource_spans:
        for attribute in entry.resource.attributes:
            if attribute.key == "deployment.environment.name":
                attribute.value.string_value = environment
    return message.SerializeToString()
