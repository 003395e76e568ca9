"""Journeys through the shop: trees of spans as the services' instrumentations make them, with whom each span calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_INTERNAL, KIND_PRODUCER, KIND_SERVER
from homeostat.bench.astronomy.instruments import AttributeValue


class JourneySpan(NamedTuple):
    """One span and those below it. `callee`: whom it calls, a service or a node of the graph (a database, a topic, somebody outside)."""

    service: str
    kind: int
    name: str
    attributes: dict[str, AttributeValue]
    below: tuple[JourneySpan, ...] = ()
    callee: str = ""
    scope: str = ""

    def walk(self) -> Iterator[JourneySpan]:
        """It and all below."""
        yield self
        for step in self.below:
            yield from step.walk()


def _internal(service: str, name: str, *below: JourneySpan) -> JourneySpan:
    return JourneySpan(service, KIND_INTERNAL, name, {}, below)


def _grpc_server(service: str, method: str, *below: JourneySpan, new: bool = False) -> JourneySpan:
    return JourneySpan(service, KIND_SERVER, method, _rpc(method, new), below)


def _rpc(method: str, new: bool) -> dict[str, AttributeValue]:
    of, _, name = method.partition("/")
    if new:
        return {"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": "OK"}
    return {"rpc.system": "grpc", "rpc.service": of, "rpc.method": name, "rpc.grpc.status_code": 0}


def _otelgrpc(service: str, method: str, callee: str, *below: JourneySpan) -> JourneySpan:
    said = _rpc(method, False) | {"server.address": callee, "server.port": 8080}
    return JourneySpan(service, KIND_CLIENT, method, said, below, callee, "go.opentelemetry.io/contrib/…/otelgrpc")


def _grpc_js(service: str, method: str, callee: str, *below: JourneySpan) -> JourneySpan:
    said = _rpc(method, False) | {"net.peer.name": callee, "net.peer.port": 8080}
    return JourneySpan(
        service, KIND_CLIENT, f"grpc.{method}", said, below, callee, "@opentelemetry/instrumentation-grpc"
    )


def _grpc_python(service: str, method: str, callee: str, *below: JourneySpan) -> JourneySpan:
    said = _rpc(method, False) | {"net.peer.ip": "172.18.0.9", "net.peer.port": 8080}
    return JourneySpan(service, KIND_CLIENT, f"/{method}", said, below, callee, "opentelemetry.instrumentation.grpc")


def _flag(service: str, style: str) -> JourneySpan:
    """A flag that is resolved by flagd, whose server joins the trace."""
    method = "flagd.evaluation.v1.Service/ResolveBoolean"
    served = JourneySpan(
        "flagd", KIND_SERVER, method, {"rpc.system": "connect_rpc", "rpc.service": "flagd.evaluation.v1.Service"}
    )
    said: dict[str, AttributeValue] = _rpc(method, False)
    said |= {"net.peer.name": "flagd"} if style == "old" else {"server.address": "flagd", "server.port": 8013}
    return JourneySpan(service, KIND_CLIENT, method, said, (served,), "flagd")


def _stream(service: str) -> JourneySpan:
    """The stream of flags' changes, which flagd's instrumentation does not continue."""
    said = _rpc("flagd.evaluation.v1.Service/EventStream", False) | {"server.address": "flagd", "server.port": 8013}
    return JourneySpan(service, KIND_CLIENT, "flagd.evaluation.v1.Service/EventStream", said, (), "flagd")


def _sql(service: str, name: str, attributes: dict[str, AttributeValue]) -> JourneySpan:
    return JourneySpan(service, KIND_CLIENT, name, attributes, (), "db:postgresql/otel")


def _redis(name: str) -> JourneySpan:
    said: dict[str, AttributeValue] = {"db.system": "redis", "server.address": "valkey-cart", "server.port": 6379}
    said |= {"db.statement": name, "db.redis.database_index": 0, "db.redis.flags": "DemandMaster"}
    return JourneySpan(
        "cart", KIND_CLIENT, name, said, (), "db:redis/valkey-cart", "OpenTelemetry.Instrumentation.StackExchangeRedis"
    )


def _cart(method: str, *commands: str) -> JourneySpan:
    said: dict[str, AttributeValue] = {"http.request.method": "POST", "url.path": f"/{method}", "url.scheme": "http"}
    said |= {
        "http.route": f"/{method}",
        "http.response.status_code": 200,
        "grpc.method": f"/{method}",
        "grpc.status_code": "0",
    }
    said |= {"server.address": "cart", "network.protocol.version": "2"}
    return JourneySpan("cart", KIND_SERVER, f"POST /{method}", said, tuple(_redis(c) for c in commands))


def _product(new: bool = True) -> JourneySpan:
    query: dict[str, AttributeValue] = {
        "db.system.name": "postgresql",
        "db.namespace": "otel",
        "db.query.text": "SELECT …",
    }
    rows = _sql("product-catalog", "sql.conn.query", query | {"server.address": "postgresql", "server.port": 5432})
    return _grpc_server("product-catalog", "oteldemo.ProductCatalogService/GetProduct", rows, new=new)


def _currency() -> JourneySpan:
    said: dict[str, AttributeValue] = {
        "rpc.system": "grpc",
        "rpc.service": "oteldemo.CurrencyService",
        "rpc.method": "Convert",
    }
    return JourneySpan("currency", KIND_SERVER, "Currency/Convert", said | {"rpc.grpc.status_code": 0})


def _through_envoy(path: str, method: str, cluster: str, *below: JourneySpan, service: str = "frontend") -> JourneySpan:
    tags: dict[str, AttributeValue] = {"http.method": method, "http.url": f"http://frontend-proxy:8080{path}"}
    tags |= {"http.protocol": "HTTP/1.1", "http.status_code": "200", "response_flags": "-", "component": "proxy"}
    tags |= {"upstream_cluster": cluster, "upstream_cluster.name": cluster, "user_agent": "python-requests"}
    out = {"peer.address": "172.18.0.20:8080", "upstream_address": "172.18.0.20:8080"}
    egress = JourneySpan(
        "frontend-proxy", KIND_CLIENT, f"router {cluster} egress", {**tags, **out}, below, service, "envoy"
    )
    return JourneySpan("frontend-proxy", KIND_SERVER, "ingress", tags, (egress,), scope="envoy")


def _api(route: str, method: str, *below: JourneySpan) -> JourneySpan:
    said: dict[str, AttributeValue] = {"http.method": method, "http.target": route, "http.scheme": "http"}
    said |= {"net.host.name": "frontend-proxy", "net.host.port": 8080, "http.flavor": "1.1", "http.status_code": 200}
    api = JourneySpan("frontend", KIND_INTERNAL, f"executing api route (pages) {route}", {"next.route": route}, below)
    return JourneySpan(
        "frontend", KIND_SERVER, f"{method} {route}", said, (api,), scope="@opentelemetry/instrumentation-http"
    )


def _user(path: str, method: str, *below: JourneySpan) -> JourneySpan:
    said: dict[str, AttributeValue] = {"http.method": method, "http.url": f"http://frontend-proxy:8080{path}"}
    call = JourneySpan("load-generator", KIND_CLIENT, method, said | {"http.status_code": 200}, below, "frontend-proxy")
    return _internal("load-generator", f"user_{path.strip('/').replace('/', '_')}", call)


def _browser(path: str, method: str, *below: JourneySpan) -> JourneySpan:
    said: dict[str, AttributeValue] = {"http.method": method, "http.url": f"http://frontend-proxy:8080{path}"}
    said |= {"component": "fetch", "http.host": "frontend-proxy:8080", "session.id": "a1b2", "http.status_code": 200}
    call = JourneySpan("frontend-web", KIND_CLIENT, f"HTTP {method}", said, below, "frontend-proxy")
    return _internal("frontend-web", "click", call)


def _shipping(route: str) -> JourneySpan:
    quote = JourneySpan("quote", KIND_SERVER, "POST /getquote", {"http.request.method": "POST", "url.path": "/getquote"},
                 (_internal("quote", "calculate-quote"),))  # fmt: skip
    said: dict[str, AttributeValue] = {"http.request.method": "POST", "url.full": "http://quote:8090/getquote"}
    said |= {"server.address": "quote", "server.port": 8090, "http.response.status_code": 200}
    ask = (
        JourneySpan("shipping", KIND_CLIENT, "POST", said, (quote,), "quote", "opentelemetry-instrumentation-reqwest"),
    )
    served: dict[str, AttributeValue] = {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": 200,
    }
    return JourneySpan("shipping", KIND_SERVER, f"POST {route}", served, ask if route == "/get-quote" else ())


def _checkout() -> JourneySpan:
    def http(path: str, host: str, *below: JourneySpan) -> JourneySpan:
        said: dict[str, AttributeValue] = {"http.request.method": "POST", "url.full": f"http://{host}:8080{path}"}
        said |= {"server.address": host, "server.port": 8080, "http.response.status_code": 200}
        return JourneySpan("checkout", KIND_CLIENT, "HTTP POST", said, below, host, "go.opentelemetry.io/…/otelhttp")

    mail: dict[str, AttributeValue] = {
        "http.method": "POST",
        "http.target": "/send_order_confirmation",
        "http.status_code": 200,
    }
    mail |= {"http.scheme": "http", "http.host": "email:6060", "http.route": "/send_order_confirmation"}
    email = JourneySpan(
        "email", KIND_SERVER, "POST /send_order_confirmation", mail, (_internal("email", "send_email"),)
    )
    sent: dict[str, AttributeValue] = {"messaging.system": "kafka", "messaging.destination.name": "orders"}
    sent |= {"messaging.operation": "publish", "peer.service": "kafka", "network.transport": "tcp"}
    return _grpc_server(
        "checkout", "oteldemo.CheckoutService/PlaceOrder",
        _flag("checkout", "new"),
        _internal(
            "checkout", "prepareOrderItemsAndShippingQuoteFromCart",
            _otelgrpc("checkout", "oteldemo.CartService/GetCart", "cart", _cart("oteldemo.CartService/GetCart", "HGET")),
            _otelgrpc("checkout", "oteldemo.ProductCatalogService/GetProduct", "product-catalog", _product()),
            _otelgrpc("checkout", "oteldemo.CurrencyService/Convert", "currency", _currency()),
            http("/get-quote", "shipping", _shipping("/get-quote")),
        ),
        _otelgrpc(
            "checkout", "oteldemo.PaymentService/Charge", "payment",
            _grpc_server("payment", "oteldemo.PaymentService/Charge", _internal("payment", "charge"), _flag("payment", "old")),
        ),
        http("/ship-order", "shipping", _shipping("/ship-order")),
        _otelgrpc("checkout", "oteldemo.CartService/EmptyCart", "cart", _cart("oteldemo.CartService/EmptyCart", "HMSET", "EXPIRE")),
        http("/send_order_confirmation", "email", email),
        JourneySpan("checkout", KIND_PRODUCER, "orders publish", sent, (_accounting(), _fraud()), "messaging:kafka/orders"),
    )  # fmt: skip


def _accounting() -> JourneySpan:
    said: dict[str, AttributeValue] = {"messaging.system": "kafka", "messaging.destination.name": "orders"}
    said |= {"messaging.kafka.consumer.group": "accounting", "messaging.operation": "receive"}
    stored: dict[str, AttributeValue] = {"db.system": "postgresql", "db.name": "otel", "db.statement": "INSERT …"}
    stored |= {"net.peer.name": "postgresql", "net.peer.port": 5432, "db.user": "otelu"}
    return JourneySpan(
        "accounting",
        KIND_CONSUMER,
        "orders receive",
        said,
        (_sql("accounting", "otel", stored),),
        "messaging:kafka/orders",
    )


def _fraud() -> JourneySpan:
    said: dict[str, AttributeValue] = {"messaging.system": "kafka", "messaging.destination.name": "orders"}
    said |= {"messaging.kafka.consumer.group": "fraud-detection", "messaging.operation": "process"}
    said |= {"messaging.client_id": "consumer-fraud-1", "messaging.kafka.message.offset": 42}
    return JourneySpan(
        "fraud-detection",
        KIND_CONSUMER,
        "orders process",
        said,
        (_flag("fraud-detection", "new"),),
        "messaging:kafka/orders",
    )


def _reviews() -> JourneySpan:
    llm: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "server.address": "llm",
    }
    stored: dict[str, AttributeValue] = {"db.system": "postgresql", "db.name": "otel", "net.peer.name": "postgresql"}
    return _grpc_server(
        "product-reviews", "oteldemo.ProductReviewService/AskProductAIAssistant",
        _sql("product-reviews", "SELECT", stored | {"db.statement": "SELECT …", "db.user": "otelu"}),
        JourneySpan("product-reviews", KIND_CLIENT, "chat astronomy-llm", llm | {"gen_ai.request.model": "astronomy-llm"}, (), "llm"),
        _grpc_python("product-reviews", "oteldemo.ProductCatalogService/GetProduct", "product-catalog", _product()),
    )  # fmt: skip


JOURNEYS: Final[tuple[tuple[int, JourneySpan], ...]] = (
    (20, _user("/", "GET", _through_envoy("/", "GET", "frontend", _api("/", "GET")))),
    (12, _user("/api/products/0PUK6V6EV0", "GET", _through_envoy(
        "/api/products/0PUK6V6EV0", "GET", "frontend",
        _api("/api/products/[productId]", "GET",
             _grpc_js("frontend", "oteldemo.ProductCatalogService/GetProduct", "product-catalog", _product()),
             _grpc_js("frontend", "oteldemo.CurrencyService/Convert", "currency", _currency()))))),
    (8, _user("/api/recommendations", "GET", _through_envoy(
        "/api/recommendations", "GET", "frontend",
        _api("/api/recommendations", "GET",
             _grpc_js("frontend", "oteldemo.RecommendationService/ListRecommendations", "recommendation",
                      _grpc_server("recommendation", "oteldemo.RecommendationService/ListRecommendations",
                                   _internal("recommendation", "get_product_list",
                                             _grpc_python("recommendation", "oteldemo.ProductCatalogService/ListProducts",
                                                          "product-catalog", _product())),
                                   _flag("recommendation", "old"))))))),
    (6, _user("/api/data", "GET", _through_envoy(
        "/api/data", "GET", "frontend",
        _api("/api/data", "GET",
             _grpc_js("frontend", "oteldemo.AdService/GetAds", "ad",
                      _grpc_server("ad", "oteldemo.AdService/GetAds", _internal("ad", "getAdsByCategory"), _flag("ad", "new"))))))),
    (9, _user("/api/cart", "POST", _through_envoy(
        "/api/cart", "POST", "frontend",
        _api("/api/cart", "POST",
             _grpc_js("frontend", "oteldemo.CartService/AddItem", "cart",
                      _cart("oteldemo.CartService/AddItem", "HGET", "HMSET", "EXPIRE")))))),
    (3, _user("/api/checkout", "POST", _through_envoy(
        "/api/checkout", "POST", "frontend",
        _api("/api/checkout", "POST", _grpc_js("frontend", "oteldemo.CheckoutService/PlaceOrder", "checkout", _checkout()))))),
    (3, _user("/api/product-ask-ai-assistant", "POST", _through_envoy(
        "/api/product-ask-ai-assistant", "POST", "frontend",
        _api("/api/product-ask-ai-assistant/[productId]", "POST",
             _grpc_js("frontend", "oteldemo.ProductReviewService/AskProductAIAssistant", "product-reviews", _reviews()))))),
    (6, _browser("/images/products/telescope.jpg", "GET", _through_envoy(
        "/images/products/telescope.jpg", "GET", "imageprovider",
        JourneySpan("image-provider", KIND_SERVER, "/",
             {"http.method": "GET", "http.target": "/products/telescope.jpg", "http.status_code": 200, "net.host.port": 8081}),
        service="image-provider"))),
    (5, _browser("/api/currency", "GET", _through_envoy(
        "/api/currency", "GET", "frontend",
        _api("/api/currency", "GET", _grpc_js("frontend", "oteldemo.CurrencyService/GetSupportedCurrencies", "currency", _currency()))))),
    (2, _through_envoy("/feature", "GET", "flagd-ui", JourneySpan(
        "flagd-ui", KIND_SERVER, "GET /feature",
        {"http.request.method": "GET", "url.path": "/feature", "http.route": "/feature", "http.response.status_code": 200}),
        service="flagd-ui")),
    (2, _stream("cart")),
    (1, _stream("fraud-detection")),
)  # fmt: skip
"""How often each is made, and the tree of its spans."""
