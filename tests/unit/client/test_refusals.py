"""What a server's problems are to a client."""

from __future__ import annotations

import msgspec
import pytest

from outlast.client.refusals import AWAY, error_of
from outlast.errors import EngineClosed, RunNotFound, StoreError, StoreUnavailable


def problem(kind: str, detail: str = "said so") -> bytes:
    return msgspec.json.encode({"type": f"https://here/problems/{kind}", "detail": detail})


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("run-not-found", RunNotFound),
        ("engine-closed", EngineClosed),
        ("store-unavailable", StoreUnavailable),
        ("store-error", StoreError),
    ],
)
def test_a_problem_is_the_error_that_an_engine_raises(kind: str, error: type[Exception]) -> None:
    found = error_of(503, problem(kind))

    assert isinstance(found, error)
    assert f"{found}" == "said so"


def test_a_server_that_stops_is_asked_again_and_one_that_refuses_is_not() -> None:
    assert isinstance(error_of(503, problem("engine-closed")), AWAY)
    assert isinstance(error_of(503, problem("store-unavailable")), AWAY)
    assert not isinstance(error_of(404, problem("run-not-found")), AWAY)
    assert not isinstance(EngineClosed("this client is closed"), AWAY)
