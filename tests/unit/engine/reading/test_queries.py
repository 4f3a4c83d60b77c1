"""The language of queries: words with a colon, and words without."""

from __future__ import annotations

import pytest

from outlast import limits
from outlast._engine.reading.queries import parse_query
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


@pytest.mark.parametrize(
    "text", ["status:", "note:", "id:''", ":failed", "status:nothing", "since:soon", "'open"]
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_query(text, 0)


def test_an_empty_text_is_asked_for_in_quotes() -> None:
    found = parse_query("note:'' other:\"\" a:b''", 0)

    assert found.attributes == (("note", ""), ("other", ""), ("a", "b"))
    assert found.words == ()


def test_statuses_that_are_asked_for_twice_must_both_match() -> None:
    assert parse_query("status:open status:failed,waiting", 0).statuses == frozenset(("waiting",))
    assert parse_query("status:parked status:failed", 0).statuses == frozenset()


@pytest.mark.parametrize(
    "text", ["id:a id:b", "workflow:a workflow:b", "since:1h since:2h", "parent:a parent:b"]
)
def test_what_no_run_can_match_both_of_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="twice"):
        parse_query(text, 0)
    again = text.split()[0]
    assert parse_query(f"{again} {again}", 0) == parse_query(again, 0)


@pytest.mark.parametrize("word", ["OR", "AND", "NOT"])
def test_words_of_other_query_languages_are_refused(word: str) -> None:
    with pytest.raises(QueryError, match=f"no {word}"):
        parse_query(f"status:failed {word} status:parked", 0)
    assert parse_query(word.lower(), 0).words == (word.lower(),)


def test_names_and_values_with_quotes_can_be_asked_for() -> None:
    query = """ "o'clock:9" customer:"O'Hara" 'say "x":1' "b\\"oth':\\\\" """
    assert parse_query(query, 0).attributes == (
        ("o'clock", "9"),
        ("customer", "O'Hara"),
        ('say "x"', "1"),
        ("b\"oth'", "\\"),
    )
    with pytest.raises(QueryError, match="is put in the other quotes"):
        parse_query("o'clock:9", 0)
