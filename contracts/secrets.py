"""Secrets in text from elsewhere (telemetry, what commands print, what APIs answer), masked before anything of it is kept.

Known are secrets by their form (private keys, JSON Web Tokens, keys of well-known providers, payment cards), by where they stand
(user information of a URL, an Authorization header, a cookie), and by their name (`password=…`, `"apiKey": "…"`, `--token …`).
Forms after the rules of gitleaks (https://github.com/gitleaks/gitleaks, MIT); card numbers by Luhn's checksum (ISO/IEC 7812-1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

MASK: Final = "<secret>"
_NAME: Final = r"""
    pass(?:word|wd|phrase|code)s? | (?<![a-z])pass(?![a-z]) | pwd | secret(?!ary) | credentials?
  | token(?!s|iz) | (?<![a-z])jwt(?![a-z]) | bearer
  | (?:api|access|account|private|signing|encryption|shared|service|master|auth|ssh|license|client)[-_.\ ]?key | shared[-_]?access[-_]?signature
  | (?<![a-z])(?:authorization|auth|otp|totp|pin|cvv2?|cvc2?|ssn|sid|sig)(?![a-z]) | signature
  | session[-_.]?(?:id|key) | jsessionid | phpsessid | connect\.sid | csrf | xsrf | connection[-_]?string
"""
_FORMS: Final = re.compile(
    rf"""
    (?P<pem>-----BEGIN[ ][A-Z0-9 ]{{0,40}}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----.*?(?:-----END[ ][A-Z0-9 ]{{0,40}}-----|\Z))
  | (?P<url>(?<=://)[^\s/?#@"'<>]{{1,512}}(?:[^\s@"'<>]{{0,512}})@)
  | (?P<dsn>(?<![\w.@-])[\w.-]{{1,64}}:[^\s:@/"'<>]{{1,128}}@(?=tcp\(|unix\(|\(?[\w.-]+[:/]))
  | (?P<cookie>(?i:(?<![\w-])(?:set-)?cookie2?)\\*["']?\s*[:=]\s*)(?:\\*"[^"\r\n]*|\\*'[^'\r\n]*|[^\r\n"'}}\]]*)
  | (?P<header>(?i:(?<![\w])(?:proxy-)?authorization)\\*["']?\s*[:=,]\s*\\*["']?)(?i:[a-z0-9-]{{3,20}}[ ]+)?[^\s"'\\,;}}\]]+
  | (?P<scheme>(?i:(?<![\w])(?:bearer|basic|digest|negotiate|token|apikey|api-key))[ ]+)
        (?:(?=[^\s"']*[\d=+/_.])[A-Za-z0-9._~+/=:-]{{6,}}|(?=[A-Za-z]*[a-z][A-Z])[A-Za-z]{{8,}}|[A-Za-z]{{20,}})
  | (?P<named>(?<![\w.-])(?i:[\w.-]{{0,60}}?(?:{_NAME})[\w-]{{0,20}})(?:\\*["'\])]{{0,2}}\s*(?:=>|:=|=|:)\s*))
        (?:\\+"(?:[^"\\]|\\(?!"))*\\*"?|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s"',;&}}\])<>|]+)
  | (?P<flag>(?<![\w-])--?(?i:[\w-]{{0,40}}?(?:{_NAME})[\w-]{{0,20}})["',]*\s+["']?)(?!-)[^\s"',]+
  | (?P<xml><(?i:[\w:.-]{{0,60}}?(?:{_NAME})[\w:.-]{{0,20}})>)[^<]+(?=</)
  | (?P<jwt>(?<![\w-])eyJ[\w-]{{8,}}\.[\w-]{{4,}}(?:\.[\w-]*){{0,3}})
  | (?P<known>(?<![A-Za-z0-9])(?:
        (?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA)[A-Z0-9]{{16}}
      | gh[pousr]_[A-Za-z0-9]{{20,}} | github_pat_\w{{20,}} | glpat-[\w-]{{16,}}
      | xox[abeoprs]-[\w-]{{10,}} | xapp-[\w-]{{10,}} | AIza[\w-]{{30,}} | ya29\.[\w-]{{20,}}
      | [srpw]k_(?:live|test)_\w{{10,}} | whsec_\w{{16,}} | sk-[\w-]{{20,}} | SG\.[\w-]{{10,}}\.[\w-]{{10,}}
      | hv[sbr]\.[\w-]{{20,}} | npm_\w{{30,}} | pypi-[\w-]{{20,}} | dop_v1_\w{{30,}} | shp(?:at|ca|pa|ss)_\w{{20,}}
      | \d{{8,10}}:[\w-]{{35}}(?![\w-])
    ))
  | (?P<hook>(?<=hooks\.slack\.com/services/)[\w/-]+)
  | (?P<card>(?<![\w.-])\d(?:[ -]?\d){{12,18}}(?![\w-]))
    """,
    re.VERBOSE | re.DOTALL,
)
_HINTS: Final = (
    *("pass", "pwd", "secret", "credential", "token", "jwt", "bearer", "key", "signature", "auth", "otp", "pin", "cv"),
    *("ssn", "sid", "sig", "session", "csrf", "xsrf", "connection", "cookie", "basic", "digest", "negotiate"),
    *(
        "://",
        "@",
        "eyj",
        "akia",
        "asia",
        "agpa",
        "aida",
        "aroa",
        "anpa",
        "abia",
        "acca",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
    ),
    *(
        "ghr_",
        "_pat_",
        "glpat",
        "xox",
        "xapp",
        "aiza",
        "ya29",
        "k_live",
        "k_test",
        "whsec",
        "sk-",
        "sg.",
        "hvs.",
        "hvb.",
    ),
    *("hvr.", "npm_", "pypi", "dop_v1", "shpat", "shpca", "shppa", "shpss"),
)
"""What each of the forms has in it, in lower case, but long numbers: looking for these is quick, for all forms it isn't."""
_LONG_NUMBER: Final = re.compile(r"\d(?:[ -]?\d){12}|\d{8}:")
_KEPT: Final = ("cookie", "header", "scheme", "named", "flag", "xml")
"""What stands before the secret, and says what it was."""
_NAMES: Final = re.compile(_NAME, re.VERBOSE | re.IGNORECASE)


def masked(text: str) -> str:
    """The text with each secret replaced by `<secret>`. What names a secret stays."""
    lower = text.lower()
    if any(hint in lower for hint in _HINTS) or _LONG_NUMBER.search(text):
        return _FORMS.sub(_mask, text)
    return text


masked_name: Final = lru_cache(maxsize=8192)(masked)
"""The same of names, which are the same few again and again."""


def masked_command(vector: Sequence[str]) -> list[str]:
    """The arguments of a command, with each that is a secret, or holds one, masked: what follows an option that names one, and
    what stands behind a name's equals sign or colon."""
    found, hide = [], False
    for word in vector:
        named, assigned = names_secret(word), _ASSIGNED.search(word) is not None
        if hide:
            found.append(MASK)
        elif named and assigned:
            found.append(_ASSIGNED.sub(rf"\1{MASK}", word))
        else:
            found.append(masked(word))
        hide = not hide and named and word.startswith("-") and not assigned
    return found


def names_secret(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return _NAMES.search(name) is not None


def _mask(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind in _KEPT:
        return match[kind] + MASK
    if kind in ("url", "dsn"):
        return MASK + "@"
    if kind == "card" and not _is_card(match[0]):
        return match[0]
    return MASK


_ASSIGNED: Final = re.compile(r"(?s)([=:]\s*).+$")


def _is_card(text: str) -> bool:
    digits = [int(c) for c in text if c.isdigit()]
    doubled = (2 * d - 9 if d > 4 else 2 * d for d in digits[-2::-2])
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0
