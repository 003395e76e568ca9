"""Whom a span calls, by what attributes are called in the table of conventions, old names and new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connectors.otlp.conventions import standard
from connectors.otlp.folding import fold, fold_temporary
from connectors.otlp.identity import is_address
from connectors.otlp.values import Plain, text_of
from contracts.secrets import masked_name

HTTP_STATUS: Final = ("http.response.status_code", "http.status_code")
DB_SYSTEM: Final = standard().keys("db_system")
DB_NAME: Final = standard().keys("db_name")
MESSAGING_SYSTEM: Final = standard().keys("messaging_system")
MESSAGING_DESTINATION: Final = standard().keys("messaging_destination")
MESSAGING_TEMPORARY: Final = standard().keys("messaging_temporary")
LOGICAL_PEER: Final = standard().keys("peer_service")
HOST: Final = standard().keys("host")

PEER_KEYS: Final = frozenset(
    (*DB_SYSTEM, *DB_NAME, *MESSAGING_SYSTEM, *MESSAGING_DESTINATION, *MESSAGING_TEMPORARY, *HOST)
)


def database_of(attributes: Mapping[str, Plain]) -> str:
    """`db:<system>/<name>` from a client span's attributes; "" where they name no database.

    Without a name the host stands in, unless it is an address.
    """
    system = _text(attributes, DB_SYSTEM)
    return f"db:{system}{_suffix(attributes, DB_NAME)}" if system else ""


def callee_of(attributes: Mapping[str, Plain]) -> str:
    """Whom a client span says it calls: a database, else `external:<name>` by the name given in `peer.service`.

    The caller's own view also knows of calls that were never answered. Whether that name is a service that sends spans
    itself is found out later, by name.
    """
    peer = _text(attributes, LOGICAL_PEER)
    return database_of(attributes) or (f"external:{fold(peer)}" if peer and not is_address(peer) else "")


def broker_of(attributes: Mapping[str, Plain]) -> str:
    """`messaging:<system>/<destination>` from a producer's or consumer's attributes; "" where they name none."""
    system = _text(attributes, MESSAGING_SYSTEM)
    if not system:
        return ""
    name = _text(attributes, MESSAGING_DESTINATION)
    if name and any(attributes.get(key) is True for key in MESSAGING_TEMPORARY):
        return f"messaging:{system}/{fold_temporary(name)}"
    return f"messaging:{system}{_suffix(attributes, MESSAGING_DESTINATION)}"


def _value(attributes: Mapping[str, Plain], keys: tuple[str, ...]) -> Plain:
    return next((attributes[k] for k in keys if attributes.get(k) not in (None, "")), None)


def _text(attributes: Mapping[str, Plain], keys: tuple[str, ...]) -> str:
    return masked_name(text_of(_value(attributes, keys)))


def _suffix(attributes: Mapping[str, Plain], keys: tuple[str, ...]) -> str:
    name = _text(attributes, keys)
    if not name:
        host = _text(attributes, HOST)
        name = "" if is_address(host) else host
    return f"/{fold(name)}" if name else ""
