"""The instruments of instrumentation libraries and of the shop itself, as `homeostat.bench.astronomy.instruments` reads them: scope and
table by library, table by service."""

from __future__ import annotations

from typing import Final

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
