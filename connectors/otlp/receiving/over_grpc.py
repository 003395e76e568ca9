"""OTLP/gRPC: the handlers, and what they answer.

A message is read only when there is room for the largest one, and it is decompressed here, not by the library, which would do it
without a limit. https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from connectors.admission import RETRY_AFTER_S
from connectors.otlp.receiving.budget import OVERLOADED
from connectors.otlp.receiving.inflate import sniffed
from connectors.otlp.receiving.intake import PATIENCE_S, Intake, peer_of
from connectors.otlp.responses import accepted
from contracts.errors import HomeostatError, Retryable, UndecodableTelemetry
from contracts.settings import ReceiverSettings
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

SERVICES: Final = {
    "opentelemetry.proto.collector.trace.v1.TraceService": OTLP_SPANS,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": OTLP_METRICS,
    "opentelemetry.proto.collector.logs.v1.LogsService": OTLP_LOGS,
}
BROKE_OFF: Final = "broke_off"
_STREAMS: Final = 100
_IDLE_MS: Final = 300_000
_HANDSHAKE_MS: Final = 10_000
_HARD_LIMIT: Final = 4
"""So many times `max_requests` the library itself turns calls away: then without saying when to come again."""


def server(settings: ReceiverSettings, intake: Intake) -> Any:
    """The server, not started."""
    options = [
        ("grpc.max_receive_message_length", settings.max_grpc_bytes),
        ("grpc.per_message_decompression", 0),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        # What isn't asked for yet waits with its sender: the library would take in megabytes of each call beforehand.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.so_reuseport", 0),
    ]
    made = grpc.aio.server(options=options, maximum_concurrent_rpcs=_HARD_LIMIT * settings.max_requests)
    for service, topic in SERVICES.items():
        # As a stream of one message (the same on the wire), because then it is read when the handler asks for it. Without
        # serializers requests and responses stay bytes.
        handler = grpc.stream_unary_rpc_method_handler(_exporter(settings, intake, topic))
        made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    return made


def _exporter(settings: ReceiverSettings, intake: Intake, topic: str) -> Callable[[Any, Any], Awaitable[bytes]]:
    async def export(_: Any, context: Any) -> bytes:
        try:
            return accepted(topic, await take(context))
        except TimeoutError:
            failure = grpc.StatusCode.DEADLINE_EXCEEDED, "timeout", f"no message in {settings.request_timeout_s:g} s"
        except UndecodableTelemetry as e:
            failure = grpc.StatusCode.INVALID_ARGUMENT, e.reason, str(e)
        except (Retryable, OSError) as e:
            reason = e.reason if isinstance(e, HomeostatError) else "unavailable"
            code = grpc.StatusCode.RESOURCE_EXHAUSTED if reason == OVERLOADED else grpc.StatusCode.UNAVAILABLE
            failure = code, reason, f"telemetry is not taken now: {e}"
        except HomeostatError as e:
            failure = grpc.StatusCode.INTERNAL, e.reason, str(e)
        code, reason, message = failure
        intake.refused[reason] += 1
        await context.abort(code, message, _details(code, message))
        raise AssertionError("abort raises")

    async def take(context: Any) -> int:
        with intake.budget.enter(peer_of(_address(context.peer()))) as hold:
            await hold.room(settings.max_grpc_bytes, PATIENCE_S)
            async with asyncio.timeout(settings.request_timeout_s):
                body = await context.read()
            if body is grpc.aio.EOF:  # the call is over already: cancelled, or a message larger than may be
                intake.refused[BROKE_OFF] += 1
                return 0
            hold.shrink_to(len(body))
            try:
                return await intake.take(topic, body, sniffed(body), False, hold)
            except TimeoutError as e:  # the log's, not the sender's
                raise Retryable(str(e)) from e

    return export


def _address(peer: str) -> str:
    """The address in gRPC's `ipv4:1.2.3.4:5` or `ipv6:%5B::1%5D:5`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else peer


def _details(code: Any, message: str) -> tuple[tuple[str, bytes], ...]:
    """When to come again: without it exporters take RESOURCE_EXHAUSTED as the end (OTLP specification)."""
    if code not in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE):
        return ()
    info = Packed()
    info.Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S)))
    status = Status(code=code.value[0], message=message, details=[info])
    return (("grpc-status-details-bin", status.SerializeToString()),)
