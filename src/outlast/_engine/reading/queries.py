"""The language of run listings: `status:failed workflow:checkout since:1h customer:42`.

Words are `key:value`. `status` takes several values by commas, and `open` or `closed`; `since` and
`until` take a length of time back from now or an ISO date; `id` a prefix, `parent` a run id,
`workflow` a name or the end of one. Any other key is an attribute. A word without a colon is a text
that is looked for in ids, names of workflows and errors.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

from outlast import limits
from outlast._store.contract import RunFilter
from outlast._wording.durations import seconds_of
from outlast.errors import QueryError
from outlast.types import CLOSED_STATUSES, OPEN_STATUSES, STATUSES, RunId, Status

_RESERVED = ("status", "workflow", "since", "until", "id", "parent")
_BY_NAME: dict[str, Status] = {status: status for status in STATUSES}


def parse_query(text: str, now: int) -> RunFilter:
    """Return the filter that `text` describes.

    Raises:
        QueryError: with what is wrong and what would be right.
    """
    statuses: frozenset[Status] | None = None
    plain: dict[str, str] = {}
    attributes: list[tuple[str, str]] = []
    words: dict[str, None] = {}
    for key, value in _words(text):
        if not key:
            words[value] = None
        elif key == "status":
            named = _statuses(value)
            statuses = named if statuses is None else statuses & named
        elif key in _RESERVED:
            if plain.setdefault(key, value) != value:
                raise QueryError(
                    f"the query has {key!r} twice, {plain[key]!r} and {value!r}: a run must "
                    "match every term, so give it once"
                )
        else:
            attributes.append((key, value))
    keys = {key for key, _ in attributes}
    if len(keys) > limits.ATTRIBUTES_MAX:
        raise QueryError(
            f"the query names {len(keys)} attributes, and a run has at most "
            f"{limits.ATTRIBUTES_MAX}: no run can have all of them"
        )
    if len(words) > limits.QUERY_WORDS_MAX:
        raise QueryError(
            f"the query has {len(words)} words without a colon, of {limits.QUERY_WORDS_MAX} at most"
        )
    return RunFilter(
        statuses=statuses,
        workflow=plain.get("workflow"),
        created_from=moment_of(plain.get("since"), now),
        created_to=moment_of(plain.get("until"), now),
        id_prefix=plain.get("id"),
        parent=RunId(plain["parent"]) if "parent" in plain else None,
        attributes=tuple(dict.fromkeys(attributes)),
        words=tuple(dict.fromkeys(words)),
    )


def _words(text: str) -> list[tuple[str, str]]:
    if len(text) > limits.QUERY_CHARS_MAX:
        raise QueryError(
            f"the query has {len(text):,} characters; it has at most {limits.QUERY_CHARS_MAX:,}"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(
            f"the query {text!r} has a lone surrogate at character {error.start}: it is not text"
        ) from None
    pairs: list[tuple[str, str]] = []
    for word, is_quoted in _split(text):
        key, colon, value = word.partition(":")
        if not colon:
            if word in ("OR", "AND", "NOT"):
                raise QueryError(
                    f"a query has no {word}: a run must match every word; write several statuses "
                    f"as status:failed,parked, and ask for other alternatives one after the other"
                )
            if word:
                pairs.append(("", word))
            continue
        if not key or not (value or (is_quoted and key not in _RESERVED)):
            raise QueryError(
                f"{word!r} is not key:value; write for instance "
                f"'status:failed workflow:checkout since:1h customer:42'"
            )
        pairs.append((key, value))
    return pairs


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """Iterate over the words of a query; whether each ends with a quote, as an empty text does."""
    source = StringIO(text)
    words = shlex.shlex(source, posix=True, punctuation_chars=False)
    words.whitespace_split = True
    words.commenters = ""
    begin = 0
    try:
        while (word := words.get_token()) is not None:
            written = text[begin : source.tell()].rstrip(words.whitespace)
            begin = source.tell()
            yield word, written.endswith(("''", '""'))
    except ValueError as error:
        raise QueryError(
            f"the query {text!r} has an open quote ({error}): a word with a quote in it is put in "
            f'the other quotes, as in "o\'clock:9"'
        ) from error


def _statuses(value: str) -> frozenset[Status]:
    found: set[Status] = set()
    for word in value.split(","):
        if word == "open":
            found |= OPEN_STATUSES
        elif word == "closed":
            found |= CLOSED_STATUSES
        else:
            known = _BY_NAME.get(word)
            if known is None:
                names = ", ".join(sorted(STATUSES))
                raise QueryError(f"there is no status {word!r}; there are open, closed, {names}")
            found.add(known)
    return frozenset(found)


def moment_of(value: str | None, now: int) -> int | None:
    """Return the time that a length of time back from now, or an ISO date, means.

    Raises:
        QueryError: it is neither.
    """
    if value is None:
        return None
    try:
        return now - int(seconds_of(value) * 1e6)
    except ValueError:
        pass  # not a length of time: a date, or a mistake
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise QueryError(
            f"{value!r} is neither a length of time such as '1h' nor a date such as '2026-01-31'"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
