"""Stored exceptions are made again as they were seen."""

from __future__ import annotations

import dataclasses

import pytest

from outlast._codec import capture, decode_failure, encode_failure, lost, noted, revive


class Declined(Exception):
    pass


class Lower(Exception):
    pass


KNOWN: dict[tuple[str, str], type[BaseException]] = {(__name__, "Declined"): Declined}
BOTH = {**KNOWN, (__name__, "Lower"): Lower}


def caused() -> BaseException:
    error = Declined("a", 1)
    error.__cause__ = Lower("b")
    return error


def test_a_failure_that_does_not_say_how_it_came_is_revived_if_it_can_be() -> None:
    failure = decode_failure(encode_failure(capture(caused())))

    assert failure.came_as == ""
    assert type(revive(failure, KNOWN)) is Declined
    assert lost(failure, None) is None


def test_what_came_as_itself_is_missed_when_it_cannot_be_made() -> None:
    failure = capture(caused())
    failure = noted(failure, revive(failure, BOTH))

    assert lost(failure, revive(failure, BOTH)) is None
    assert lost(failure, revive(failure, {})) == failure
    assert lost(failure, revive(failure, KNOWN)) == failure.cause


def test_what_came_as_text_stays_text() -> None:
    failure = capture(caused())
    failure = noted(failure, revive(failure, KNOWN))

    revived = revive(failure, BOTH)

    assert type(revived) is Declined
    assert revived.__cause__ is None
    assert revive(noted(failure, None), BOTH) is None


def test_members_of_a_group_are_noted_each() -> None:
    group = ExceptionGroup("all", [Declined("a"), ValueError("b")])
    failure = capture(group)

    failure = noted(failure, revive(failure, KNOWN))

    assert [member.came_as for member in failure.members] == ["itself", "itself"]
    assert lost(failure, revive(failure, {})) == failure


@pytest.mark.parametrize("module", ["builtins", __name__, "no.such.module"])
def test_an_alias_is_used_only_for_a_class_that_is_declared(module: str) -> None:
    failure = dataclasses.replace(capture(Declined("a")), module=module, qualname="Alias")

    revived = revive(failure, KNOWN)

    assert (type(revived) is Declined) == (module == __name__)
    assert revive(failure, {}) is None


Alias = Declined
