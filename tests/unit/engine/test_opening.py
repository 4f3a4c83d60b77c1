"""What a path or url means when an engine is opened, and what is refused."""

from __future__ import annotations

import pytest

from outlast import NotSupported, UsageError
from outlast._engine.opening import Target, parse_url


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("runs.db", Target("sqlite", "runs.db")),
        ("sqlite:///runs.db", Target("sqlite", "runs.db")),
        ("sqlite:////var/runs.db", Target("sqlite", "/var/runs.db")),
        ("memory://tests", Target("memory", "tests")),
    ],
)
def test_paths_and_urls_lead_to_a_store(url: str, target: Target) -> None:
    assert parse_url(url, read_only=False) == target


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "path is empty"),
        ("/", "is a directory: give the path of a database file"),
        ("sqlite:////", "is a directory: give the path of a database file"),
        ("runs\0.db", "contains a NUL character"),
        ("sqlite://runs.db", "write sqlite:///relative.db"),
        ("redis://here", "is not a path or a sqlite:/// or memory:// URL"),
    ],
)
def test_what_is_no_place_for_a_store_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_url(url, read_only=False)


def test_postgres_is_not_supported_yet() -> None:
    with pytest.raises(NotSupported, match="Postgres"):
        parse_url("postgres://here/runs", read_only=False)
