"""Whether a request failed: one judgement for spans, metric points and log records, by the table of conventions.

A code says whose fault it was: 500 and UNAVAILABLE are the server's, 404 and NOT_FOUND the caller's, even where the sender marked
its span as an error. Without a code `error.type`, an `error` tag, an exception that left the span, an outcome or the span's status decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

from connectors.otlp.conventions import Conventions
from connectors.otlp.values import Plain, number_of, text_of

OK, ERROR = 1, 2
"""A span's status."""
_SPAN_FACTS: Final = (
    *("http_status", "rpc_status", "error_type", "error_flag", "exception_escaped"),
    *("outcome", "status_text", "response_flags"),
)
_TRUE: Final = frozenset({"true", "1", "yes"})
_NO_ANSWER: Final = 0
_CLASS: Final = re.compile(r"([1-5])xx", re.IGNORECASE)


class FailureJudge:
    """Judges by one table. `points`: attributes are those of metric points, where labels mean more."""

    def __init__(self, conventions: Conventions, *, points: bool = False) -> None:
        keys: Callable[..., tuple[str, ...]] = conventions.point_keys if points else conventions.keys
        http = ("http_status", "http_status_of_points") if points else ("http_status",)
        self._http_keys, self._rpc_keys = keys(*http), keys("rpc_status")
        self._error_keys, self._flag_keys = keys("error_type"), keys("error_flag", "exception_escaped")
        self._outcome_keys, self._status_keys = keys("outcome"), keys("status_text")
        self._envoy_keys = keys("response_flags")
        self.keys: Final = frozenset((*keys(*_SPAN_FACTS), *self._http_keys))
        """What is looked at."""
        judgement = conventions.table.judgement
        self._ranges = (judgement.http.failed, judgement.http.failed_for_caller)
        self._numbers = {_bare(name): i for i, name in enumerate(judgement.rpc.names)}
        self._faults = tuple(
            frozenset(self._numbers[_bare(n)] for n in names)
            for names in (judgement.rpc.failed, judgement.rpc.failed_for_caller)
        )
        self._none, self._flags = judgement.error.none, judgement.flags.failed
        self._outcome, self._status = judgement.outcome, judgement.status

    def failed(
        self, attributes: Mapping[str, Plain], status: int = 0, *, caller: bool = False, codes: bool = True
    ) -> bool:
        """Whether a request with these attributes failed. `status` is its span's (0 where none is set); `caller`: it is told by who
        called; `codes`: codes of HTTP and RPC are those of this request (an internal span may only speak of another's)."""
        if status == OK:
            return False
        if codes:
            found = self._by_code(attributes, caller)
            if found is not None:
                return found
        for text in _texts(attributes, self._error_keys):
            if text.casefold() in self._none:
                continue
            found = self._by_error(text, caller) if codes else None
            return True if found is None else found
        if any(text.casefold() in _TRUE for text in _texts(attributes, self._flag_keys)):
            return True
        for text in _texts(attributes, self._outcome_keys):
            if text.casefold() in self._outcome.failed:
                return True
            if text.casefold() == "client_error":
                return False
        words = {text.casefold() for text in _texts(attributes, self._status_keys)}
        return status == ERROR or bool(words & self._status.failed)

    def suspicious(self, key: str, value: Plain) -> bool:
        """Whether one attribute of a span could say that it failed although its status isn't set."""
        return key in self.keys and (
            self.failed({key: value}) or self.failed({key: value}, caller=True) or key in self._envoy_keys
        )

    def _by_code(self, attributes: Mapping[str, Plain], caller: bool) -> bool | None:
        """What the codes say; None where they leave it open."""
        rpc_said = (attributes[k] for k in self._rpc_keys if k in attributes)
        rpc = next((c for said in rpc_said if (c := self.rpc_code(said)) is not None), None)
        http_said = (attributes[k] for k in self._http_keys if k in attributes)
        http = next((c for said in http_said if (c := _http_code(said)) is not None), None)
        if self._is_fault(rpc, http, caller):
            return True
        if not http and any(
            f.strip() in self._flags for t in _texts(attributes, self._envoy_keys) for f in t.split(",")
        ):
            return True
        return False if rpc or (http is not None and http >= 400) else None

    def _by_error(self, text: str, caller: bool) -> bool | None:
        """What an error's type says where it is a code; None where it is none."""
        http = _http_code(text)
        rpc = self._numbers.get(_bare(text))
        if not http and not rpc:
            return None
        return self._is_fault(rpc, http, caller)

    def _is_fault(self, rpc: int | None, http: int | None, caller: bool) -> bool:
        ranges = self._ranges[caller]
        return rpc in self._faults[caller] or (http is not None and any(low <= http <= high for low, high in ranges))

    def rpc_code(self, value: Plain) -> int | None:
        """The number of a gRPC code, which may be written as a number or as its name; None where it is none."""
        number = number_of(value)
        if number is not None:
            return int(number) if number.is_integer() and 0 <= number < len(self._numbers) else None
        return self._numbers.get(_bare(text_of(value)))


def _http_code(value: Plain) -> int | None:
    """An HTTP status code (the first one of a class, `5xx`), 0 where there was no answer; None where it is none of these."""
    number = number_of(value)
    if number is None and (found := _CLASS.fullmatch(text_of(value).strip())) is not None:
        return 100 * int(found[1])
    if number is None or not number.is_integer() or not (number == _NO_ANSWER or 100 <= number <= 599):
        return None
    return int(number)


def _bare(name: str) -> str:
    """A code's name without what languages do to it: `StatusCode.NOT_FOUND`, `NotFound`, `not_found` are one. Americans cancel with one l."""
    before, _, last = name.rpartition(".")
    own = last if before.casefold().endswith(("code", "codes", "status")) else name
    bare = own.replace("_", "").replace("-", "").replace(" ", "").casefold()
    return "cancelled" if bare == "canceled" else bare


def _texts(attributes: Mapping[str, Plain], keys: Iterable[str]) -> Iterable[str]:
    return (text_of(attributes[k]).strip() for k in keys if attributes.get(k) is not None)


@lru_cache(maxsize=8)
def judges(conventions: Conventions) -> tuple[FailureJudge, FailureJudge]:
    """The judges of spans and of metric points by a table."""
    return FailureJudge(conventions), FailureJudge(conventions, points=True)
