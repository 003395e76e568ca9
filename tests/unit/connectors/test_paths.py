"""Names in paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url
from yarl import URL

from connectors import paths
from contracts.checks.actuator import HOSTILE
from contracts.errors import InvalidTarget


@pytest.mark.parametrize("name", ["cart", "cart-2", "a", "a" * 63, "0"])
def test_names_of_objects(name: str) -> None:
    assert paths.label(name, "namespace") == paths.subdomain(name, "Deployment") == name


def test_subdomains_have_parts() -> None:
    assert paths.subdomain("a.b-c.d", "Pod") == "a.b-c.d"
    for wrong in ("a..b", ".a", "a.", "a.-b", ".".join(["a" * 60] * 5), "a." + "b" * 64):
        assert not paths.is_subdomain(wrong)


@pytest.mark.parametrize("name", [n for n in HOSTILE if n != "cart/"] + ["cart\n", "a.b", "A", "٣"])
def test_what_is_no_label(name: str) -> None:
    with pytest.raises(InvalidTarget, match="can't be the name of a namespace"):
        paths.label(name, "namespace")


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_a_path_has_as_many_parts_as_names_whoever_reads_it(names: list[str]) -> None:
    """By both clients' libraries, each of which resolves dots by itself."""
    try:
        path = paths.plain(paths.path(*names))
    except (InvalidTarget, UnicodeEncodeError):
        return
    assert URL("http://x" + path, encoded=True).raw_path.count("/") == len(names)
    assert str(parse_url("http://x" + path).path).count("/") == len(names)


@pytest.mark.parametrize(
    "text", ["", "a", "/a/../b", "/..", "/a/.", "//a", "/a/", "/a?b", "/a#b", "/%2e%2E/a", "/a b", "/a%"]
)
def test_what_is_no_plain_path(text: str) -> None:
    with pytest.raises(InvalidTarget):
        paths.plain(text)
