"""Instruments as lines of text: name, type, unit, and the attributes of the points.

`name|type|unit|key=value,value;key=value`: one point for each combination of values. Types: G gauge, C monotonic sum, U other sum, H histogram,
E exponential histogram. Values that are numbers are sent as numbers, true and false as booleans.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

AttributeValue = str | int | bool


class Instrument(NamedTuple):
    """One instrument: what it is called, of which type and unit, and the attributes of each of its points."""

    name: str
    kind: str
    unit: str
    points: tuple[dict[str, AttributeValue], ...]


def instruments(text: str) -> tuple[Instrument, ...]:
    """The instruments of a table."""
    return tuple(_instrument(line.strip()) for line in text.strip().splitlines())


def _instrument(line: str) -> Instrument:
    name, kind, unit, said = (*line.split("|"), "", "")[:4]
    return Instrument(name, kind, unit, tuple(_points(said)))


def _points(said: str) -> Iterator[dict[str, AttributeValue]]:
    pairs = [part.partition("=") for part in said.split(";") if part]
    for values in itertools.product(*(values.split(",") for _, _, values in pairs)):
        yield {key: _value(v) for (key, _, _), v in zip(pairs, values, strict=True)}


def _value(text: str) -> AttributeValue:
    return {"true": True, "false": False}.get(text, int(text) if text.isdigit() else text)


# --------------------------------------------------------------------------------------------------------- runtimes, by language

RUNTIMES: Final[dict[str, tuple[str, str]]] = {
    "java": (
        "io.opentelemetry.runtime-telemetry-java8",
        """
        jvm.memory.used|U|By|jvm.memory.type=heap;jvm.memory.pool.name=G1 Eden Space,G1 Survivor Space,G1 Old Gen
        jvm.memory.used|U|By|jvm.memory.type=non_heap;jvm.memory.pool.name=Metaspace,CodeCache,Compressed Class Space
        jvm.memory.committed|U|By|jvm.memory.type=heap;jvm.memory.pool.name=G1 Eden Space,G1 Survivor Space,G1 Old Gen
        jvm.memory.limit|U|By|jvm.memory.type=heap;jvm.memory.pool.name=G1 Old Gen
        jvm.memory.used_after_last_gc|U|By|jvm.memory.type=heap;jvm.memory.pool.name=G1 Eden Space,G1 Survivor Space,G1 Old Gen
        jvm.gc.duration|H|s|jvm.gc.action=end of minor GC;jvm.gc.name=G1 Young Generation
        jvm.thread.count|U|{thread}|jvm.thread.daemon=true,false;jvm.thread.state=runnable,waiting,timed_waiting
        jvm.class.loaded|C|{class}
        jvm.class.unloaded|C|{class}
        jvm.class.count|U|{class}
        jvm.cpu.time|C|s
        jvm.cpu.count|U|{cpu}
        jvm.cpu.recent_utilization|G|1
        """,
    ),
    "dotnet": (
        "System.Runtime",
        """
        dotnet.process.cpu.time|C|s|cpu.mode=user,system
        dotnet.process.cpu.count|U|{cpu}
        dotnet.process.memory.working_set|U|By
        dotnet.gc.collections|C|{collection}|gc.heap.generation=gen0,gen1,gen2
        dotnet.gc.heap.total_allocated|C|By
        dotnet.gc.last_collection.memory.committed_size|U|By
        dotnet.gc.last_collection.heap.size|U|By|gc.heap.generation=gen0,gen1,gen2,loh,poh
        dotnet.gc.last_collection.heap.fragmentation.size|U|By|gc.heap.generation=gen0,gen1,gen2,loh,poh
        dotnet.gc.pause.time|C|s
        dotnet.jit.compiled_il.size|C|By
        dotnet.jit.compiled_methods|C|{method}
        dotnet.jit.compilation.time|C|s
        dotnet.monitor.lock_contentions|C|{contention}
        dotnet.thread_pool.thread.count|U|{thread}
        dotnet.thread_pool.work_item.count|C|{work_item}
        dotnet.thread_pool.queue.length|U|{work_item}
        dotnet.timer.count|U|{timer}
        dotnet.assembly.count|U|{assembly}
        dotnet.exceptions|C|{exception}|error.type=System.TimeoutException
        """,
    ),
    "dotnet-auto": (
        "OpenTelemetry.Instrumentation.Runtime",
        """
        process.runtime.dotnet.gc.collections.count|C||generation=gen0,gen1,gen2
        process.runtime.dotnet.gc.objects.size|U|By
        process.runtime.dotnet.gc.allocations.size|C|By
        process.runtime.dotnet.gc.committed_memory.size|U|By
        process.runtime.dotnet.gc.heap.size|U|By|generation=gen0,gen1,gen2,loh,poh
        process.runtime.dotnet.gc.duration|C|ns
        process.runtime.dotnet.jit.il_compiled.size|C|By
        process.runtime.dotnet.monitor.lock_contention.count|C|
        process.runtime.dotnet.thread_pool.threads.count|U|
        process.runtime.dotnet.thread_pool.queue.length|U|
        process.runtime.dotnet.timer.count|U|
        process.runtime.dotnet.assemblies.count|U|
        process.runtime.dotnet.exceptions.count|C|
        process.memory.usage|U|By
        process.memory.virtual|U|By
        process.cpu.time|C|s|state=user,system
        process.cpu.count|U|{processors}
        process.thread.count|U|{threads}
        """,
    ),
    "go": (
        "go.opentelemetry.io/contrib/instrumentation/runtime",
        """
        go.memory.used|U|By|go.memory.type=stack,other
        go.memory.limit|U|By
        go.memory.allocated|C|By
        go.memory.allocations|C|{allocation}
        go.memory.gc.goal|U|By
        go.goroutine.count|U|{goroutine}
        go.processor.limit|U|{thread}
        go.config.gogc|U|%
        go.schedule.duration|H|s
        """,
    ),
    "go-old": (
        "go.opentelemetry.io/contrib/instrumentation/runtime",
        """
        process.runtime.go.cgo.calls|U|
        process.runtime.go.gc.count|C|
        process.runtime.go.gc.pause_ns|H|
        process.runtime.go.gc.pause_total_ns|C|
        process.runtime.go.goroutines|U|
        process.runtime.go.lookups|C|
        process.runtime.go.mem.heap_alloc|U|By
        process.runtime.go.mem.heap_idle|U|By
        process.runtime.go.mem.heap_inuse|U|By
        process.runtime.go.mem.heap_objects|U|
        process.runtime.go.mem.heap_released|U|By
        process.runtime.go.mem.heap_sys|U|By
        process.runtime.go.mem.live_objects|U|
        runtime.uptime|C|ms
        """,
    ),
    "nodejs": (
        "@opentelemetry/instrumentation-runtime-node",
        """
        nodejs.eventloop.delay.min|G|s
        nodejs.eventloop.delay.max|G|s
        nodejs.eventloop.delay.mean|G|s
        nodejs.eventloop.delay.stddev|G|s
        nodejs.eventloop.delay.p50|G|s
        nodejs.eventloop.delay.p90|G|s
        nodejs.eventloop.delay.p99|G|s
        nodejs.eventloop.utilization|G|1
        nodejs.eventloop.time|C|s|nodejs.eventloop.state=active,idle
        v8js.gc.duration|H|s|v8js.gc.type=minor,major,incremental
        v8js.memory.heap.limit|U|By|v8js.heap.space.name=new_space,old_space,code_space
        v8js.memory.heap.used|U|By|v8js.heap.space.name=new_space,old_space,code_space
        v8js.heap.space.available_size|U|By|v8js.heap.space.name=new_space,old_space,code_space
        v8js.heap.space.physical_size|U|By|v8js.heap.space.name=new_space,old_space,code_space
        """,
    ),
    "python": (
        "opentelemetry.instrumentation.system_metrics",
        """
        process.runtime.cpython.memory|U|By|type=rss,vms
        process.runtime.cpython.cpu_time|C|s|type=user,system
        process.runtime.cpython.gc_count|C|By|count=0,1,2
        process.runtime.cpython.thread_count|U|
        process.runtime.cpython.cpu.utilization|G|1
        process.runtime.cpython.context_switches|C|switches|type=involuntary,voluntary
        process.open_file_descriptor.count|U|
        process.cpu.time|C|s|type=user,system
        process.cpu.utilization|G|1
        process.memory.usage|U|By
        process.memory.virtual|U|By
        process.thread.count|U|
        process.context_switches|C||type=involuntary,voluntary
        cpython.gc.collections|C|{collection}|generation=0,1,2
        cpython.gc.collected_objects|C|{object}|generation=0,1,2
        cpython.gc.uncollectable_objects|C|{object}|generation=0,1,2
        system.cpu.time|C|s|cpu=1,2;state=idle,user,system,irq
        system.cpu.utilization|G|1|cpu=1,2;state=idle,user,system,irq
        system.memory.usage|G|By|state=used,free,cached
        system.memory.utilization|G|1|state=used,free,cached
        system.swap.usage|G|pages|state=used,free
        system.swap.utilization|G|1|state=used,free
        system.disk.io|C|By|device=vda;direction=read,write
        system.disk.operations|C|operations|device=vda;direction=read,write
        system.disk.time|C|s|device=vda;direction=read,write
        system.network.dropped_packets|C|packets|device=eth0;direction=receive,transmit
        system.network.packets|C|packets|device=eth0;direction=receive,transmit
        system.network.errors|C|errors|device=eth0;direction=receive,transmit
        system.network.io|C|By|device=eth0;direction=receive,transmit
        system.network.connections|U|connections|family=1;protocol=tcp;state=ESTABLISHED,LISTEN;type=1
        system.thread_count|G|
        """,
    ),
    "erlang": (
        "opentelemetry_telemetry_metrics",
        """
        vm.memory.total|G|By
        vm.memory.processes|G|By
        vm.memory.binary|G|By
        vm.memory.ets|G|By
        vm.total_run_queue_lengths.total|G|1
        vm.total_run_queue_lengths.cpu|G|1
        vm.total_run_queue_lengths.io|G|1
        vm.system_counts.process_count|G|1
        """,
    ),
    "php": (
        "io.opentelemetry.contrib.php",
        """
        otel.sdk.span.live|U|{span}|otel.span.sampling_result=RECORD_AND_SAMPLE
        otel.sdk.span.started|C|{span}|otel.span.parent.origin=remote
        otel.trace.span_processor.spans|C|{spans}|state=sent,received,failed
        otel.trace.span_processor.queue.limit|U|{spans}
        otel.trace.span_processor.queue.usage|U|{spans}
        """,
    ),
}

# ------------------------------------------------------------------------------------------------- instrumentation libraries

LIBRARIES: Final[dict[str, tuple[str, str]]] = {
    "java grpc": (
        "io.opentelemetry.grpc-1.6",
        """
        rpc.server.duration|H|ms|rpc.system=grpc;rpc.service=oteldemo.AdService;rpc.method=GetAds;rpc.grpc.status_code=0,14
        rpc.server.request.size|H|By|rpc.system=grpc;rpc.service=oteldemo.AdService;rpc.method=GetAds
        rpc.server.response.size|H|By|rpc.system=grpc;rpc.service=oteldemo.AdService;rpc.method=GetAds
        rpc.client.duration|H|ms|rpc.system=grpc;rpc.service=flagd.evaluation.v1.Service;rpc.method=EventStream;server.address=flagd;server.port=8013
        """,
    ),
    "java kafka": (
        "io.opentelemetry.kafka-clients-0.11",
        """
        kafka.consumer.records_lag|G||client-id=consumer-fraud-1;topic=orders;partition=0
        kafka.consumer.records_lag_max|G||client-id=consumer-fraud-1
        kafka.consumer.records_lag_avg|G||client-id=consumer-fraud-1;topic=orders;partition=0
        kafka.consumer.records_lead|G||client-id=consumer-fraud-1;topic=orders;partition=0
        kafka.consumer.records_consumed_total|C||client-id=consumer-fraud-1;topic=orders
        kafka.consumer.records_consumed_rate|G||client-id=consumer-fraud-1;topic=orders
        kafka.consumer.bytes_consumed_total|C||client-id=consumer-fraud-1;topic=orders
        kafka.consumer.fetch_latency_avg|G||client-id=consumer-fraud-1
        kafka.consumer.fetch_latency_max|G||client-id=consumer-fraud-1
        kafka.consumer.fetch_rate|G||client-id=consumer-fraud-1
        kafka.consumer.commit_latency_avg|G||client-id=consumer-fraud-1
        kafka.consumer.commit_rate|G||client-id=consumer-fraud-1
        kafka.consumer.heartbeat_rate|G||client-id=consumer-fraud-1
        kafka.consumer.last_heartbeat_seconds_ago|G||client-id=consumer-fraud-1
        kafka.consumer.rebalance_total|C||client-id=consumer-fraud-1
        kafka.consumer.time_between_poll_avg|G||client-id=consumer-fraud-1
        kafka.consumer.poll_idle_ratio_avg|G||client-id=consumer-fraud-1
        kafka.consumer.connection_count|G||client-id=consumer-fraud-1
        kafka.consumer.request_latency_avg|G||client-id=consumer-fraud-1;node-id=node-1
        kafka.consumer.incoming_byte_rate|G||client-id=consumer-fraud-1
        kafka.consumer.outgoing_byte_total|C||client-id=consumer-fraud-1
        kafka.consumer.assigned_partitions|G||client-id=consumer-fraud-1
        messaging.receive.duration|H|s|messaging.system=kafka;messaging.destination.name=orders
        messaging.process.duration|H|s|messaging.system=kafka;messaging.destination.name=orders;messaging.operation=process
        """,
    ),
    "java sdk": (
        "io.opentelemetry.sdk.trace",
        """
        processedSpans|C|1|dropped=false;processorType=BatchSpanProcessor
        queueSize|G|1|processorType=BatchSpanProcessor
        otlp.exporter.seen|C||type=span,log,metric
        otlp.exporter.exported|C||type=span,log,metric;success=true
        """,
    ),
    "java logs sdk": (
        "io.opentelemetry.sdk.logs",
        """
        processedLogs|C|1|dropped=false;processorType=BatchLogRecordProcessor
        queueSize|G|1|processorType=BatchLogRecordProcessor
        """,
    ),
    "java jmx kafka": (
        "io.opentelemetry.jmx",
        """
        kafka.message.count|C|{message}
        kafka.request.count|C|{request}|type=produce,fetch
        kafka.request.failed|C|{request}|type=produce,fetch
        kafka.request.queue|U|{request}
        kafka.request.time.total|C|ms|type=produce,fetchconsumer,fetchfollower
        kafka.request.time.50p|G|ms|type=produce,fetchconsumer,fetchfollower
        kafka.request.time.99p|G|ms|type=produce,fetchconsumer,fetchfollower
        kafka.network.io|C|By|direction=in,out
        kafka.purgatory.size|U|{request}|type=produce,fetch
        kafka.partition.count|U|{partition}
        kafka.partition.offline|U|{partition}
        kafka.partition.under_replicated|U|{partition}
        kafka.isr.operation.count|C|{operation}|operation=shrink,expand
        kafka.max.lag|U|{message}
        kafka.controller.active.count|U|{controller}
        kafka.leader.election.rate|C|{election}
        kafka.logs.flush.count|C|{flush}
        kafka.logs.flush.time.50p|G|ms
        kafka.logs.flush.time.99p|G|ms
        """,
    ),
    "aspnetcore": (
        "Microsoft.AspNetCore.Hosting",
        """
        http.server.request.duration|H|s|http.request.method=POST;http.response.status_code=200;http.route=/oteldemo.CartService/AddItem,/oteldemo.CartService/GetCart;network.protocol.version=2;url.scheme=http
        http.server.active_requests|U|{request}|http.request.method=POST;url.scheme=http
        """,
    ),
    "kestrel": (
        "Microsoft.AspNetCore.Server.Kestrel",
        """
        kestrel.active_connections|U|{connection}|network.transport=tcp;server.port=7070
        kestrel.connection.duration|H|s|network.transport=tcp;server.port=7070
        kestrel.queued_connections|U|{connection}|network.transport=tcp
        kestrel.queued_requests|U|{request}|network.transport=tcp
        """,
    ),
    "aspnetcore routing": (
        "Microsoft.AspNetCore.Routing",
        """
        aspnetcore.routing.match_attempts|C|{match_attempt}|aspnetcore.routing.match_status=success;http.route=/oteldemo.CartService/AddItem,/oteldemo.CartService/GetCart
        """,
    ),
    "dotnet http": (
        "System.Net.Http",
        """
        http.client.request.duration|H|s|http.request.method=POST;http.response.status_code=200;server.address=flagd,otel-collector;server.port=8013
        http.client.open_connections|U|{connection}|http.connection.state=active,idle;server.address=flagd
        http.client.active_requests|U|{request}|http.request.method=POST;server.address=flagd
        http.client.connection.duration|H|s|server.address=flagd
        http.client.request.time_in_queue|H|s|http.request.method=POST;server.address=flagd
        """,
    ),
    "dotnet dns": ("System.Net.NameResolution", "dns.lookup.duration|H|s|dns.question.name=flagd,valkey-cart"),
    "npgsql": (
        "Npgsql",
        """
        db.client.operation.duration|H|s|db.system.name=postgresql;db.client.connection.pool.name=otel
        db.client.connection.count|U|{connection}|db.client.connection.state=used,idle;db.client.connection.pool.name=otel
        db.client.connection.max|U|{connection}|db.client.connection.pool.name=otel
        db.client.operation.npgsql.bytes_read|C|By|db.client.connection.pool.name=otel
        db.client.operation.npgsql.bytes_written|C|By|db.client.connection.pool.name=otel
        db.client.operation.npgsql.executing|U|{command}|db.client.connection.pool.name=otel
        db.client.operation.npgsql.prepared_ratio|G|{command}|db.client.connection.pool.name=otel
        """,
    ),
    "otelgrpc": (
        "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
        """
        rpc.server.duration|H|ms|rpc.system=grpc;rpc.service=oteldemo.CheckoutService;rpc.method=PlaceOrder;rpc.grpc.status_code=0,13
        rpc.server.request.size|H|By|rpc.system=grpc;rpc.service=oteldemo.CheckoutService;rpc.method=PlaceOrder
        rpc.server.response.size|H|By|rpc.system=grpc;rpc.service=oteldemo.CheckoutService;rpc.method=PlaceOrder
        rpc.server.requests_per_rpc|H|{count}|rpc.system=grpc;rpc.service=oteldemo.CheckoutService;rpc.method=PlaceOrder
        rpc.server.responses_per_rpc|H|{count}|rpc.system=grpc;rpc.service=oteldemo.CheckoutService;rpc.method=PlaceOrder
        rpc.client.duration|H|ms|rpc.system=grpc;rpc.service=oteldemo.PaymentService,oteldemo.CurrencyService;rpc.method=Do;rpc.grpc.status_code=0;server.address=payment
        rpc.client.request.size|H|By|rpc.system=grpc;rpc.service=oteldemo.PaymentService;rpc.method=Charge
        rpc.client.responses_per_rpc|H|{count}|rpc.system=grpc;rpc.service=oteldemo.PaymentService;rpc.method=Charge
        """,
    ),
    "otelgrpc new": (
        "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
        """
        rpc.server.call.duration|H|s|rpc.system.name=grpc;rpc.method=oteldemo.ProductCatalogService/GetProduct,oteldemo.ProductCatalogService/ListProducts;rpc.response.status_code=OK
        rpc.client.call.duration|H|s|rpc.system.name=grpc;rpc.method=flagd.evaluation.v1.Service/ResolveBoolean;rpc.response.status_code=OK;server.address=flagd
        """,
    ),
    "otelhttp": (
        "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
        """
        http.client.request.duration|H|s|http.request.method=POST;http.response.status_code=200;server.address=email,shipping;server.port=8080
        http.client.request.body.size|H|By|http.request.method=POST;server.address=email,shipping
        """,
    ),
    "otelsql": (
        "github.com/XSAM/otelsql",
        """
        db.sql.connection.max_open|G||db.system.name=postgresql
        db.sql.connection.open|G||db.system.name=postgresql;status=idle,inuse
        db.sql.connection.wait|C||db.system.name=postgresql
        db.sql.connection.wait_duration|C|ms|db.system.name=postgresql
        db.sql.connection.closed_max_idle|C||db.system.name=postgresql
        db.sql.latency|H|ms|db.system.name=postgresql;method=sql.conn.query,sql.rows;status=ok
        """,
    ),
    "node http": (
        "@opentelemetry/instrumentation-http",
        """
        http.server.duration|H|ms|http.scheme=http;http.method=GET,POST;net.host.name=frontend;http.flavor=1.1;http.status_code=200,500;net.host.port=8080;http.route=/api/products/[productId],/api/cart
        http.client.duration|H|ms|http.method=GET;net.peer.name=flagd,image-provider;http.status_code=200;net.peer.port=8081;http.flavor=1.1
        """,
    ),
    "node http new": (
        "@opentelemetry/instrumentation-http",
        """
        http.server.request.duration|H|s|http.request.method=GET,POST;http.response.status_code=200,500;http.route=/api/products,/api/cart;url.scheme=http
        http.client.request.duration|H|s|http.request.method=GET;http.response.status_code=200;server.address=flagd;server.port=8013
        """,
    ),
    "python grpc": (
        "opentelemetry.instrumentation.grpc",
        "rpc.server.duration|H|ms|rpc.system=grpc;rpc.service=oteldemo.RecommendationService;rpc.method=ListRecommendations;rpc.grpc.status_code=0",
    ),
    "python requests": (
        "opentelemetry.instrumentation.requests",
        "http.client.duration|H|ms|http.method=GET,POST;http.host=frontend-proxy;http.status_code=200,500;net.peer.name=frontend-proxy",
    ),
    "python urllib3": (
        "opentelemetry.instrumentation.urllib3",
        """
        http.client.duration|H|ms|http.method=GET,POST;http.status_code=200;net.peer.name=frontend-proxy;net.peer.port=8080
        http.client.request.size|H|By|http.method=GET,POST;http.status_code=200;net.peer.name=frontend-proxy
        http.client.response.size|H|By|http.method=GET,POST;http.status_code=200;net.peer.name=frontend-proxy
        """,
    ),
    "python openai": (
        "opentelemetry.instrumentation.openai_v2",
        """
        gen_ai.client.operation.duration|H|s|gen_ai.operation.name=chat;gen_ai.system=openai;gen_ai.request.model=astronomy-llm;server.address=llm
        gen_ai.client.token.usage|H|{token}|gen_ai.operation.name=chat;gen_ai.system=openai;gen_ai.token.type=input,output
        """,
    ),
    "rust actix": (
        "opentelemetry-instrumentation-actix-web",
        """
        http.server.request.duration|H|s|http.request.method=POST;http.response.status_code=200;http.route=/get-quote,/ship-order;url.scheme=http
        http.server.active_requests|U|{request}|http.request.method=POST;url.scheme=http
        http.server.request.body.size|H|By|http.request.method=POST;http.route=/get-quote,/ship-order
        http.server.response.body.size|H|By|http.request.method=POST;http.route=/get-quote,/ship-order
        """,
    ),
    "flagd": (
        "openfeature/flagd",
        """
        feature_flag.flagd.impression|C|{impression}|feature_flag.key=adFailure,cartFailure,paymentFailure,productCatalogFailure;feature_flag.result.reason=static;feature_flag.result.variant=off
        feature_flag.flagd.result.reason|C|{reason}|feature_flag.result.reason=static,error
        http.server.request.duration|H|s|http.request.method=POST;http.response.status_code=200;http.route=/flagd.evaluation.v1.Service/ResolveBoolean,/ofrep/v1/evaluate/flags
        http.server.response.body.size|H|By|http.route=/flagd.evaluation.v1.Service/ResolveBoolean
        http.server.active_requests|U|{request}|http.route=/flagd.evaluation.v1.Service/ResolveBoolean
        """,
    ),
    "otelconnect": (
        "connectrpc.com/otelconnect",
        """
        rpc.server.duration|H|ms|rpc.system=connect_rpc;rpc.service=flagd.evaluation.v1.Service;rpc.method=ResolveBoolean
        rpc.server.request.size|H|By|rpc.system=connect_rpc;rpc.service=flagd.evaluation.v1.Service;rpc.method=ResolveBoolean
        rpc.server.response.size|H|By|rpc.system=connect_rpc;rpc.service=flagd.evaluation.v1.Service;rpc.method=ResolveBoolean
        rpc.server.requests_per_rpc|H|1|rpc.system=connect_rpc;rpc.service=flagd.evaluation.v1.Service;rpc.method=ResolveBoolean
        rpc.server.responses_per_rpc|H|1|rpc.system=connect_rpc;rpc.service=flagd.evaluation.v1.Service;rpc.method=ResolveBoolean
        """,
    ),
    "phoenix": (
        "opentelemetry_telemetry_metrics",
        """
        http.server.request.duration|H|s|http.request.method=GET,POST;http.response.status_code=200;http.route=/feature,/feature/read
        phoenix.channel_joined.duration|H|ms|endpoint=FlagdUi
        """,
    ),
    "envoy stats": (
        "envoy",
        """
        cluster.upstream_rq|C||envoy.cluster_name=frontend,imageprovider;envoy.response_code=200
        cluster.upstream_rq_time|H|ms|envoy.cluster_name=frontend,imageprovider
        cluster.upstream_cx_active|G||envoy.cluster_name=frontend,imageprovider
        cluster.membership_healthy|G||envoy.cluster_name=frontend,imageprovider
        http.downstream_rq|C||envoy.http_conn_manager_prefix=ingress_http;envoy.response_code_class=2,5
        http.downstream_rq_time|H|ms|envoy.http_conn_manager_prefix=ingress_http
        http.downstream_cx_active|G||envoy.http_conn_manager_prefix=ingress_http
        server.memory_allocated|G|
        server.uptime|G|
        """,
    ),
}

# ------------------------------------------------------------------------------------------------- of the shop's own making

OWN: Final[dict[str, str]] = {
    "ad": "app.ads.ad_requests|C||app.ads.ad_request_type=TARGETED,NOT_TARGETED;app.ads.ad_response_type=RANDOM",
    "cart": """
        app.cart.add_item.latency|H|s
        app.cart.get_cart.latency|H|s
        """,
    "currency": "app.currency|C||currency_code=USD,EUR",
    "email": "app.confirmation.counter|C|1",
    "frontend": "app.frontend.requests|C||method=GET,POST;target=/api/cart;status=200",
    "payment": "app.payment.transactions|C||app.payment.currency=USD",
    "quote": "quotes|C|quotes|number_of_items=1,3",
    "recommendation": "app_recommendations_counter|C|recommendations|recommendation.type=catalog",
    "product-reviews": "app_product_review_counter|C|reviews|product.id=1",
    "shipping": "app.shipping.items_count|C|{item}",
}
