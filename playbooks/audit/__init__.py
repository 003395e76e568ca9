"""The audit trail: records chained by hash, and their form as CloudEvents. Values in, values and bytes out."""

from playbooks.audit.chain import GENESIS, ChainHead, ChainReport, digest_of, link, verify_chain
from playbooks.audit.cloudevents import SPEC_VERSION, from_cloudevent, headers_of

__all__ = [
    "GENESIS",
    "SPEC_VERSION",
    "ChainHead",
    "ChainReport",
    "digest_of",
    "from_cloudevent",
    "headers_of",
    "link",
    "verify_chain",
]
