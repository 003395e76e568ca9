"""The audit trail: records chained by hash, and their form as CloudEvents. Values in, values and bytes out."""

from playbooks.audit.chain import GENESIS, ChainReport, Head, digest_of, link, verify_chain
from playbooks.audit.cloudevents import SPEC_VERSION, from_cloudevent, headers_of

__all__ = [
    "GENESIS",
    "SPEC_VERSION",
    "ChainReport",
    "Head",
    "digest_of",
    "from_cloudevent",
    "headers_of",
    "link",
    "verify_chain",
]
