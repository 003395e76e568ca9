"""Whose certificates are believed, for every client of ours that speaks TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

from contracts.errors import InvalidSettings


def trusting(ca_file: Path | None, setting: str) -> ssl.SSLContext:
    """A client's context that trusts the authorities in `ca_file` (PEM), else those of the system. `setting` names the file.

    Raises:
        InvalidSettings: the file can't be read, or no certificate is in it.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as e:  # ssl.SSLError is one
        why = "no certificate in PEM form is in it" if isinstance(e, ssl.SSLError) else (e.strerror or str(e))
        raise InvalidSettings(
            f"{setting} {ca_file}: {why}", fix="the authority's certificate, as a PEM file, is expected"
        ) from e
