"""The language of queries: words with a colon, and words without."""

from __future__ import annotations

import pytest

from outlast import limits
from outlast._engine.queries import parse_query
from outlast.errors import QueryError
from outlast.types import Status


def test_a_word_without_a_colon_is_looked_for_in_texts() -> None:
    found = parse_query("status:failed refund 'no route' refund ''", 0)

    assert found.words == ("refund", "no route")
    assert found.statuses == frozenset[Status](("failed",))


def test_only_so_many_texts_are_looked_for() -> None:
    words = [f"w{number}" for number in range(limits.QUERY_WORDS_MAX + 1)]

    assert parse_query(" ".join(words[:-1] * 20), 0).words == tuple(words[:-1])
    with pytest.raises(QueryError, match="8 at most"):
        parse_query(" ".join(words), 0)


@pytest.mark.parametrize("text", ["status:", ":failed", "status:nothing", "since:soon", "'open"])
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_query(text, 0)
