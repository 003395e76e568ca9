"""The services of the shop: in which language each is written, what its SDK says of itself, which instruments and which logs it has."""

from __future__ import annotations

from typing import Final, NamedTuple

NAMESPACE: Final = "opentelemetry-demo"
VERSION: Final = "2.1.3"


class AstronomyService(NamedTuple):
    """One service: its language as its SDK names it, the set of runtime instruments, of libraries, and the shape of its logs."""

    language: str
    runtime: str = ""
    libraries: tuple[str, ...] = ()
    logs: str = ""


SERVICES: Final[dict[str, AstronomyService]] = {
    "accounting": AstronomyService("dotnet", "dotnet-auto", ("npgsql",), "dotnet"),
    "ad": AstronomyService("java", "java", ("java grpc", "java sdk", "java logs sdk"), "log4j"),
    "cart": AstronomyService(
        "dotnet", "dotnet", ("aspnetcore", "kestrel", "aspnetcore routing", "dotnet http", "dotnet dns"), "dotnet"
    ),
    "checkout": AstronomyService("go", "go", ("otelgrpc", "otelhttp"), "slog"),
    "currency": AstronomyService("cpp", "", (), "cpp"),
    "email": AstronomyService("ruby", "", (), "ruby"),
    "flagd": AstronomyService("go", "go-old", ("flagd", "otelconnect"), ""),
    "flagd-ui": AstronomyService("erlang", "erlang", ("phoenix",), "elixir"),
    "fraud-detection": AstronomyService("java", "java", ("java kafka", "java sdk"), "log4j"),
    "frontend": AstronomyService("nodejs", "nodejs", ("node http",), ""),
    "frontend-proxy": AstronomyService("", "", ("envoy stats",), "envoy"),
    "frontend-web": AstronomyService("webjs"),
    "image-provider": AstronomyService("", "", (), ""),
    "kafka": AstronomyService("java", "java", ("java jmx kafka", "java sdk"), "log4j"),
    "llm": AstronomyService("python", "", (), "python"),
    "load-generator": AstronomyService("python", "python", ("python requests", "python urllib3"), "python"),
    "payment": AstronomyService("nodejs", "nodejs", ("node http new",), "pino"),
    "product-catalog": AstronomyService("go", "go", ("otelgrpc new", "otelsql"), "slog"),
    "product-reviews": AstronomyService("python", "python", ("python grpc", "python openai"), "python"),
    "quote": AstronomyService("php", "php", (), "monolog"),
    "recommendation": AstronomyService("python", "python", ("python grpc",), "python"),
    "shipping": AstronomyService("rust", "", ("rust actix",), "rust"),
}
CONTAINERS: Final = (*(s for s in SERVICES if s != "frontend-web"), "postgresql", "valkey-cart", "otel-collector")
_SDKS: Final = {
    "webjs": "2.1.0",
    "nodejs": "2.1.0",
    "java": "1.54.1",
    "dotnet": "1.13.0",
    "go": "1.38.0",
    "python": "1.37.0",
}


def resource_of(service: str) -> dict[str, str | int]:
    """Resource attributes of a service, as its SDK and its detectors write them."""
    language = SERVICES[service].language
    found: dict[str, str | int] = {
        "service.name": service,
        "service.namespace": NAMESPACE,
        "service.version": VERSION,
        "host.name": "demo-host",
        "os.type": "linux",
    }
    if language:
        sdk = {"telemetry.sdk.language": language, "telemetry.sdk.name": "opentelemetry"}
        found |= sdk | {"telemetry.sdk.version": _SDKS.get(language, "1.9.0")}
    if language in ("java", "dotnet", "nodejs", "go", "python"):
        found |= {"process.pid": 1, "process.runtime.name": language, "process.executable.name": language}
        found["service.instance.id"] = f"{service}-5f2c"
    if language in ("java", "nodejs"):
        found |= {
            "container.id": f"{len(service):064x}",
            "host.arch": "amd64",
            "telemetry.distro.name": "opentelemetry",
        }
    if service == "frontend-proxy":  # Envoy's own resource detector
        found |= {"telemetry.sdk.language": "cpp", "telemetry.sdk.name": "envoy", "telemetry.sdk.version": "1.34"}
    if language == "webjs":
        found |= {"browser.language": "en-US", "browser.mobile": "false", "user_agent.original": "Mozilla/5.0"}
    return found


LOGS: Final[dict[str, tuple[tuple[int, str, str], ...]]] = {
    "dotnet": (
        (9, "Information", "AddItemAsync called with userId={userId}, productId={productId}"),
        (17, "Error", ""),
    ),
    "log4j": (
        (9, "INFO", "Targeted ad request received for {n}"),
        (13, "WARN", "GetAds Failed with status Status{{code=UNAVAILABLE}}"),
    ),
    "slog": (
        (9, "INFO", "order placed"),
        (0, "", 'time=2025-10-07T09:00:00.000Z level=ERROR msg="failed to charge card" order_id={n}'),
    ),
    "cpp": ((9, "INFO", "GetSupportedCurrencies successful"),),
    "ruby": ((9, "INFO", "Order confirmation email sent to: someone{n}@example.com"),),
    "elixir": ((9, "info", "GET /feature sent 200 in {n}ms"),),
    "envoy": (
        (0, "", '[2025-10-07T09:00:00.000Z] "GET /api/cart HTTP/1.1" 200 - via_upstream - "-" 0 24 {n} 8 "-" "python"'),
        (
            0,
            "",
            '[2025-10-07T09:00:01.000Z] "POST /api/checkout HTTP/1.1" 503 UF upstream_reset - "-" 0 91 {n} - "-" "python"',
        ),
    ),
    "python": (
        (9, "INFO", "Receive ListRecommendations for product ids:['OLJCESPC7Z']"),
        (17, "ERROR", "timeout of {n} s"),
    ),
    "pino": (
        (9, "info", '{{"level":30,"time":1759827600000,"pid":1,"msg":"Transaction complete.","transactionId":"{n}"}}'),
        (0, "", '{{"level":50,"time":1759827600000,"pid":1,"msg":"Payment request failed. Invalid token. {n}"}}'),
    ),
    "monolog": ((9, "INFO", "Calculated quote"),),
    "rust": ((9, "INFO", "Sending quote value: {n}.99"),),
}
"""Severity number, severity text and body of the records of each kind; `{n}` differs from record to record."""
