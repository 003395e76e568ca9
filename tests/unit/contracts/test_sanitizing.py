"""What is kept of what others said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sanitizing import plain, sanitized

SECRET = "s3cr3t-Value_42xyz"


@pytest.mark.parametrize(
    "text",
    [
        "password={}",
        "PASSWORD: {}",
        'db_password="{}"',
        "{{'api_key': '{}'}}",
        '{{"accessToken":1,"client_secret":"{}"}}',
        "login --token {} --verbose",
        "mysql --password={} -h db",
        "Authorization: Bearer {}",
        "authorization='Basic {}'",
        "curl -H 'X-Api-Key: {}'",
        "postgres://shop:{}@db:5432/shop",
        "https://{}@host/path",
        "Set-Cookie: sid={}; Path=/",
        "HOMEOSTAT_BROKER__PASSWORD={}",
        "https://host/?token={}&x=1",
        "-----BEGIN" + " RSA PRIVATE KEY-----\nMIIE{}\n-----END RSA PRIVATE KEY-----",
        "signed eyJhbGciOiJIUzI1NiJ9.{}.abc",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    assert SECRET not in sanitized(text.format(SECRET))
    assert SECRET not in sanitized("\x1b[1m" + text.format(SECRET) + "\x1b[0m")


@pytest.mark.parametrize(
    "text",
    [
        "scaled cart from 2 to 3",
        "3 of 3 pods ready, 0 tokens left in the bucket",
        "no password was given",
        "error rate 50 %, expected 0–18.9 %",
        "https://host:8080/path?page=2",
        "command restart ended with status 1",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert sanitized(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07red",
        "re\x00d",
        "\x9b31mred",
        "\x1b]8;;http://x\x1b\\red",
        "\u202ered",
        "red\r\n",
    ],
)
def test_what_a_terminal_obeys_is_gone(text: str) -> None:
    assert plain(text).replace(" ", "") == "red"


@given(st.text(max_size=2000), st.integers(1, 200))
def test_any_text_is_one_bounded_line(text: str, limit: int) -> None:
    found = sanitized(text, limit)
    assert len(found) <= limit + 80
    assert found.isprintable()


def test_the_end_of_a_long_text_is_kept_with_a_digest_of_the_whole() -> None:
    found = sanitized("x" * 5000 + " the end", 20)
    assert found.startswith("[5008 characters, SHA-256 ")
    assert found.endswith("the end")
    assert sanitized("y" + "x" * 4999 + " the end", 20) != found
