"""Secrets that stray into texts: taken out of error messages, tracebacks and log lines.

What looks like a secret is known by its form (keys of well-known services, bearer tokens, passwords
in urls, private keys), by the name it is given (`password=…`), or by its value: what the
environment has under a name that says so. Values of steps and inputs are not touched: what code
returns, it gets back.

Invariant: a text only ever loses what matched; redacting it again changes nothing.
"""

from __future__ import annotations

import os
import re
from functools import cache

REDACTED = "[redacted]"

_FORMS = re.compile(
    r"""
      \bo7tk-[0-9a-f]{16,}
    | \bsk-[A-Za-z0-9_-]{16,}
    | \bgh[pousr]_[A-Za-z0-9]{20,}
    | \bgithub_pat_[A-Za-z0-9_]{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
    | \bAIza[0-9A-Za-z_-]{30,}
    | \beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}
    | -----BEGIN\ [A-Z\ ]{0,30}PRIVATE\ KEY-----[^-]{0,20000}-----END\ [A-Z\ ]{0,30}KEY-----
    """,
    re.VERBOSE,
)
_BEARER = re.compile(r"(\b[Bb]earer\s+)[A-Za-z0-9._~+/=-]{16,}")
_NAMED = re.compile(
    r"""(\b\w{0,30}(?:password|passwd|secret|api_?key|access_token|auth_token|credential)\w{0,10}
        ["']?\s{0,3}[:=]\s{0,3}["']?)[^\s"'&,;)}\]]{6,}""",
    re.VERBOSE | re.IGNORECASE,
)
_IN_URL = re.compile(r"(://[^\s/:@]{1,100}:)[^\s/@]{1,200}@")
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|CREDENTIAL", re.IGNORECASE)
_VALUE_CHARS_MIN = 8  # shorter ones are words of every text


def redact(text: str) -> str:
    """Return a text without what looks like a secret."""
    text = _FORMS.sub(REDACTED, text)
    text = _BEARER.sub(rf"\1{REDACTED}", text)
    text = _NAMED.sub(_named, text)
    text = _IN_URL.sub(rf"\1{REDACTED}@", text)
    known = _known_values()
    return text if known is None else known.sub(REDACTED, text)


def _named(match: re.Match[str]) -> str:
    return match[0] if match[0].endswith(REDACTED[:-1]) else f"{match[1]}{REDACTED}"


@cache
def _known_values() -> re.Pattern[str] | None:
    """Return a pattern of the environment's secrets, as they were at the first look."""
    values = {
        value
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name) and len(value) >= _VALUE_CHARS_MIN and "/" not in value[:1]
    }
    if not values:
        return None
    return re.compile("|".join(re.escape(v) for v in sorted(values, key=len, reverse=True)))
