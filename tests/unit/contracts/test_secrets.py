"""Secrets in text from elsewhere are masked, the same ones whoever keeps it: the decoder of telemetry, or the audit trail."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sanitizing import sanitized
from contracts.secrets import _FORMS, MASK, _mask, masked, masked_command, names_secret
from tests.patience import PATIENCE_S

# Put together here, so that no scanner takes them for real ones.
WORD = "hunter" + "Two"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
JWT = ".".join(("eyJ" + "hbGciOiJIUzI1NiJ9", "eyJ" + "zdWIiOiIxMjM0In0", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"))
GITHUB = "ghp_" + "abcdEFGH" * 5
STRIPE = "sk_" + "live_" + "4eC39HqLyjWDarjtT1"
SLACK = "xoxb-" + "2444333222111-abcDEF"
PEM = f"-----BEGIN RSA {'PRIVATE'} KEY-----\nMIIEow{WORD}\nabc\n-----END RSA {'PRIVATE'} KEY-----"
CARD = "4111 1111 1111 1111"

LEAKS = [
    (f"login failed: password={WORD}", WORD),
    (f"login failed: password = '{WORD} and more'", "more"),
    (f'{{"user":"a","passwd": "{WORD}"}}', WORD),
    (f'payload {{\\"password\\":\\"{WORD}\\"}}', WORD),
    (f"db.password: {WORD}", WORD),
    (f"DB_PASSWORD={WORD} DB_USER=a", WORD),
    (f"dbPassword={WORD}", WORD),
    (f"pwd={WORD};uid=a", WORD),
    (f"config[api_key] => {WORD}", WORD),
    (f"X-Api-Key: {WORD}", WORD),
    (f"apiKey={WORD}", WORD),
    (f"client_secret={WORD}&grant_type=x", WORD),
    (f"GET /reset?token={WORD}&x=1", WORD),
    (f"GET /a?sig={WORD}", WORD),
    (f"aws_secret_access_key = wJalr/{WORD}/bPxR+fi", WORD),
    (f"AccountKey={WORD}==;EndpointSuffix=x", WORD),
    (f"SharedAccessKey={WORD}=", WORD),
    ("Authorization: Bearer abc.def-123", "abc.def"),
    ("headers: {'authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
    (f"Authorization: {WORD}", WORD),
    ('Authorization: Digest username="a"', "username"),
    ("sent Bearer a1b2c3d4e5", "a1b2c3d4e5"),
    ("sent bearer abcdefghijklmnopqrstuvwx", "abcdefghijkl"),
    ("using Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    (f"Cookie: a={WORD}; b=2", WORD),
    (f"Set-Cookie: sid={WORD}; Path=/", WORD),
    (f'"cookie":"x={WORD}"', WORD),
    (f"JSESSIONID={WORD}", WORD),
    (f"cannot reach postgres://app:{WORD}@db:5432/shop", WORD),
    (f"cannot reach postgres://app:pa/{WORD}@db:5432/shop", WORD),
    (f"redis://:{WORD}@cache", WORD),
    (f"https://{WORD}@github.example/x.git", WORD),
    (f"amqp://guest:{WORD}@mq", WORD),
    (f"dsn app:{WORD}@tcp(db:3306)/shop", WORD),
    (f"run: mysqldump --password {WORD} shop", WORD),
    (f"run: ['tool', '--api-token', '{WORD}']", WORD),
    (f"run: tool --client-secret={WORD}", WORD),
    (f"<ns:Password>{WORD}</ns:Password>", WORD),
    (f"key {AWS} is disabled", AWS),
    (f"got {JWT}", JWT[:40]),
    (f"got {JWT}", JWT[-20:]),
    (f"clone with {GITHUB}", GITHUB),
    (f"charge with {STRIPE}", STRIPE),
    (f"post with {SLACK}", SLACK),
    ("post to https://hooks.slack.com/services/T00000000/B0000/XXXXyyyy", "XXXXyyyy"),
    (f"loaded {PEM}", WORD),
    (f"loaded {PEM[:60]}", WORD),
    (f"card {CARD} declined", "1111"),
    (f"card {CARD.replace(' ', '-')} declined", "1111"),
    (f"card={CARD.replace(' ', '')}", "1111"),
    ("pin: 4711", "4711"),
    ("otp=493817", "493817"),
    (f"Password : {WORD}", WORD),
    (f"connection_string={WORD}", WORD),
]
HARMLESS = [
    "password is required",
    "invalid password for user a",
    "token expired",
    "Bearer authentication required",
    "Basic authentication failed",
    "total_tokens: 512 of 4096",
    "tokenizer=fast",
    "GET https://shop.example/orders/7 200",
    "mail to a@b.example failed",
    "secretary=ann",
    "mapping: 3 spinning=2 design: x",
    "compass=north bypass: yes passed=3",
    "cache key order-1 missing",
    "order 4111111111111112 is no card",
    "at org.example.PasswordEncoder.matches(PasswordEncoder.java:17)",
    "2026-01-01 10:00:00,123 INFO ready",
    "user@host:~/x",
    "",
]


@pytest.mark.parametrize("keep", [masked, sanitized])
@pytest.mark.parametrize(("text", "secret"), LEAKS)
def test_secrets_are_masked(text: str, secret: str, keep: Callable[[str], str]) -> None:
    assert secret in text
    found = keep(text)
    assert secret not in found
    assert MASK in found
    assert keep(found).count(MASK) == found.count(MASK)


@pytest.mark.parametrize("keep", [masked, sanitized])
@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_none_stays(text: str, keep: Callable[[str], str]) -> None:
    assert keep(text) == text


@given(st.sampled_from(LEAKS), st.text(max_size=20))
def test_a_quick_look_overlooks_nothing(leak: tuple[str, str], text: str) -> None:
    for found in (leak[0], leak[0] + text, text + leak[0]):
        assert masked(found) == _FORMS.sub(_mask, found)


def test_fields_by_their_names() -> None:
    assert all(map(names_secret, ("password", "dbPassword", "api-key", "X-Auth-Token", "client_secret", "pin")))
    assert not any(map(names_secret, ("user", "key", "tokens", "mapping", "secretary", "path")))


def test_long_texts_do_not_take_long() -> None:
    units = (
        "a",
        "1",
        "'",
        '"',
        "\\",
        "\\'",
        "://",
        "@",
        "a:",
        "password",
        "password=",
        "-",
        "--token ",
        "eyJ.",
        "<token>",
        "4 ",
        "a.b-",
        " ",
        "-----BEGIN" + " PRIVATE KEY-----",
        "bearer ",
        "cookie",
    )
    began = time.process_time()
    for unit in units:
        masked((unit * 4096)[:4096])
    assert time.process_time() - began < PATIENCE_S, "seconds of the processor; a quick one takes one"


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    found = masked(text)
    assert isinstance(found, str)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["kubectl", "get", "pods"], ["kubectl", "get", "pods"]),
        (["curl", "--token", WORD, "-v"], ["curl", "--token", MASK, "-v"]),
        (["curl", f"--api-key={WORD}"], ["curl", f"--api-key={MASK}"]),
        (["curl", "-H", f"Authorization: Bearer {WORD}"], ["curl", "-H", f"Authorization: {MASK}"]),
        (["psql", f"postgres://me:{WORD}@db/shop"], ["psql", f"postgres://{MASK}@db/shop"]),
    ],
)
def test_the_secrets_of_a_command_are_masked(given: list[str], shown: list[str]) -> None:
    assert masked_command(given) == shown
