"""Driver errors become errors of the tree: every one a driver can raise, and the ones that need their own words."""

import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ladybug
import pytest
from neo4j import exceptions

from contracts.errors import Forbidden, GraphUnavailable, HomeostatError, InvalidQuery, InvalidSettings, UnknownName
from contracts.settings import GraphSettings
from graph.stores import graph_file, open_reader, open_store
from graph.stores import ladybug as embedded
from graph.stores import neo4j as server
from graph.stores.ladybug import LadybugStore
from graph.stores.remote import RemoteStore

# Words of the library that never begin a message of the engine's: an internal variant and what its own tests raise.
_NOT_RAISED = {"Buffer manager eager exception", "Test exception"}


def test_every_kind_of_ladybug_error_is_mapped() -> None:
    library = next(Path(ladybug.__file__).parent.glob("_lbug*.so")).read_bytes()
    said = {m.decode() for m in re.findall(rb"\b([A-Z][A-Za-z]*(?: [a-z]+)? exception): ", library)}
    assert {"Binder exception", "IO exception"} <= said | set(embedded.ERRORS)
    assert said - _NOT_RAISED <= set(embedded.ERRORS)


def driver_errors(base: type[Exception] = exceptions.GqlError) -> Iterator[type[Exception]]:
    yield base
    for child in base.__subclasses__():
        yield from driver_errors(child)


@pytest.mark.parametrize("error", sorted(set(driver_errors()), key=lambda e: e.__name__))
def test_every_neo4j_error_is_mapped(error: type[Exception]) -> None:
    assert any(base in server.ERRORS for base in error.__mro__)
    assert isinstance(server.explain(error("it failed")), HomeostatError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.ServiceUnavailable, GraphUnavailable),
        (exceptions.SessionExpired, GraphUnavailable),
        (exceptions.TransientError, GraphUnavailable),
        (exceptions.ConnectionAcquisitionTimeoutError, GraphUnavailable),
        (exceptions.AuthError, Forbidden),
        (exceptions.Forbidden, Forbidden),
        (exceptions.CypherSyntaxError, InvalidQuery),
        (exceptions.ConstraintError, InvalidQuery),
        (exceptions.ConfigurationError, InvalidSettings),
    ],
)
def test_neo4j_errors(error: type[Exception], expected: type[HomeostatError]) -> None:
    assert type(server.explain(error("it failed"))) is expected


def test_neo4j_away() -> None:
    settings = GraphSettings(store="neo4j", url="bolt://127.0.0.1:1")
    with pytest.raises(GraphUnavailable, match=r"Neo4j at bolt://127\.0\.0\.1:1: .*graph\.url"):
        open_store(settings, Path("unused"))


def test_neo4j_with_an_impossible_address() -> None:
    with pytest.raises(InvalidSettings, match="nonsense"):
        open_store(GraphSettings(store="neo4j", url="nonsense://x"), Path("unused"))


def test_an_unknown_store() -> None:
    with pytest.raises(UnknownName, match="did you mean 'ladybug'"):
        open_store(GraphSettings(store="ladybird"), Path("unused"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(GraphUnavailable, match="data_dir"):
        open_store(GraphSettings(), tmp_path / "data")


def test_a_parser_error_is_short() -> None:
    store = LadybugStore()
    with pytest.raises(InvalidQuery) as caught:
        store.query("MATCH (s:Service)) RETURN s")
    store.close()
    assert len(caught.value.message) < 300


_HOLD = """
import sys
from pathlib import Path
from graph.stores.ladybug import LadybugStore
store = LadybugStore(Path(sys.argv[1]))
store.migrate()
print("open", flush=True)
sys.stdin.read()
store.close()
"""


def test_a_file_that_another_process_has_open(tmp_path: Path) -> None:
    with pytest.raises(GraphUnavailable, match="homeostat up"):
        open_reader(GraphSettings(), tmp_path, "http://127.0.0.1:1")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(graph_file(tmp_path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(GraphUnavailable, match=f"open in process {holder.pid}") as caught:
        open_store(GraphSettings(), tmp_path)
    assert caught.value.reason == "graph_locked"
    reader = open_reader(GraphSettings(), tmp_path, "http://127.0.0.1:1")
    assert isinstance(reader, RemoteStore)
    with pytest.raises(GraphUnavailable, match="no answer from Homeostat"):
        reader.query("RETURN 1")
    holder.communicate("")
    reader = open_reader(GraphSettings(), tmp_path, "http://127.0.0.1:1")
    assert reader.query("MATCH (s:Service) RETURN count(*) AS n") == [{"n": 0}]
    reader.close()


def _from(cause: Exception) -> exceptions.ServiceUnavailable:
    error = exceptions.ServiceUnavailable("Couldn't connect to 127.0.0.1:7687")
    error.__cause__ = cause
    return error


def test_a_certificate_that_is_not_trusted_is_named_however_deep_the_driver_hides_it() -> None:
    cause = ssl.SSLCertVerificationError("certificate verify failed")
    cause.verify_message = "self-signed certificate in certificate chain"
    routers = ExceptionGroup("All routing table requests failed", [OSError("away"), _from(cause)])
    for error in (_from(cause), _from(routers)):
        found = server.explain(error, "bolt+s://graph:7687")
        assert (type(found), found.reason) == (GraphUnavailable, "untrusted_certificate")
        assert "self-signed certificate" in found.message
        assert "graph.ca_file" in found.fix


def test_a_server_without_tls() -> None:
    found = server.explain(_from(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")), "bolt+s://graph:7687")
    assert (found.reason, "bolt+s://" in found.fix) == ("tls", True)


@pytest.mark.parametrize("url", ["bolt://graph:7687", "bolt+ssc://graph:7687", "neo4j://graph:7687"])
def test_an_authority_for_an_address_that_would_not_ask_it(url: str, tmp_path: Path) -> None:
    settings = GraphSettings(store="neo4j", url=url, ca_file=tmp_path / "ca.crt")
    with pytest.raises(InvalidSettings, match=r"graph\.ca_file is not used with graph\.url"):
        open_store(settings, tmp_path)


def test_whom_an_address_trusts() -> None:
    assert server.secured("bolt://graph:7687", None) == ("bolt://graph:7687", None)
    address, trusted = server.secured("neo4j+s://graph:7687", None)
    assert trusted is not None
    assert (address, trusted.verify_mode, trusted.check_hostname) == ("neo4j://graph:7687", ssl.CERT_REQUIRED, True)
    address, trusted = server.secured("bolt+ssc://graph:7687", None)
    assert trusted is not None
    assert (address, trusted.verify_mode, trusted.check_hostname) == ("bolt://graph:7687", ssl.CERT_NONE, False)


@pytest.mark.parametrize(("text", "why"), [(None, "No such file"), ("not a certificate", "no certificate in PEM form")])
def test_an_authority_that_cannot_be_read(text: str | None, why: str, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.crt"
    if text is not None:
        ca_file.write_text(text)
    with pytest.raises(InvalidSettings, match=rf"ca\.crt: {why}"):
        server.secured("bolt+s://graph:7687", ca_file)
