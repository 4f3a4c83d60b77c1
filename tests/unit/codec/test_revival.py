"""Stored exceptions are made again as they were seen."""

from __future__ import annotations

import dataclasses
import re

import pytest

from outlast._codec import (
    capture,
    class_of,
    decode_failure,
    encode_failure,
    explained,
    lost,
    noted,
    revive,
)
from outlast.errors import OutlastError


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


class Narrow(Declined):
    pass


class Narrower(Narrow, ValueError):
    pass


@pytest.mark.parametrize("cls", [Narrow, Narrower])
def test_a_declared_class_covers_loaded_classes_that_derive_from_it(
    cls: type[Declined],
) -> None:
    failure = capture(cls("a", 1))
    new = revive(failure, KNOWN, is_new=True)

    assert type(new) is cls
    assert new is not None
    assert new.args == ("a", 1)
    recorded = decode_failure(encode_failure(noted(failure, new)))
    assert type(revive(recorded, KNOWN)) is cls
    assert lost(recorded, revive(recorded, {})) == recorded


def test_a_local_class_is_covered_too() -> None:
    class Local(Declined):
        pass

    assert type(revive(capture(Local("a")), KNOWN, is_new=True)) is Local


def test_a_record_that_does_not_say_how_it_came_needs_the_very_class() -> None:
    failure = decode_failure(encode_failure(capture(Narrow("a"))))

    assert class_of(failure, KNOWN) is None
    assert revive(failure, KNOWN) is None


def test_a_class_that_is_not_loaded_is_not_found() -> None:
    failure = dataclasses.replace(capture(Narrow("a")), qualname="Gone", came_as="itself")

    assert revive(failure, KNOWN) is None
    assert lost(failure, None) == failure


def test_an_error_of_ours_covers_no_classes_of_users() -> None:
    class Mine(OutlastError):
        pass

    ours: dict[tuple[str, str], type[BaseException]] = {("outlast.errors", "X"): OutlastError}

    assert revive(capture(Mine("a")), ours, is_new=True) is None


def test_what_would_stop_the_process_is_not_covered() -> None:
    class Stop(KeyboardInterrupt):
        pass

    every: dict[tuple[str, str], type[BaseException]] = {("builtins", "B"): BaseException}

    assert revive(capture(Stop()), every, is_new=True) is None


def members_of(group: BaseException | None) -> tuple[BaseException, ...]:
    name = "exceptions"
    members: tuple[BaseException, ...] = getattr(group, name)
    return members


def test_a_group_may_hold_one_exception_twice() -> None:
    same = ValueError("same")
    same.__cause__ = Lower("why")
    nested = ExceptionGroup("in", [same])
    group = ExceptionGroup("all", [same, same, nested, nested])

    revived = revive(capture(group), BOTH)

    first, second, *others = members_of(revived)
    assert [str(first), str(second)] == ["same", "same"]
    assert type(first.__cause__) is Lower
    assert type(second.__cause__) is Lower
    assert [len(members_of(other)) for other in others] == [1, 1]


def test_a_group_in_a_circle_is_captured_without_its_members() -> None:
    inner = ValueError("in")
    group = ExceptionGroup("all", [inner])
    inner.__cause__ = group

    failure = capture(group)

    assert [member.qualname for member in failure.members] == ["ValueError"]
    assert failure.members[0].cause is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Declined(object()), r"arguments of Declined cannot be stored.*dataclass"),
        (Narrow(object()), r"arguments of Narrow cannot be stored.*text and numbers"),
        (ExceptionGroup("g", [Declined(object())]), r"arguments of Declined cannot be stored"),
        (
            ExceptionGroup("g", [Lower("a")]),
            r"member .*\.Lower is not declared.*raises=",
        ),
        (ExceptionGroup("g", [ValueError(n) for n in range(500)]), r"members were not stored"),
    ],
)
def test_a_declared_error_that_comes_as_text_says_why(error: Exception, reason: str) -> None:
    failure = capture(error)

    assert revive(failure, KNOWN, is_new=True) is None
    assert re.search(reason, explained(failure, KNOWN).message)


def test_an_error_that_is_not_declared_keeps_its_message() -> None:
    failure = capture(Lower("a"))

    assert explained(failure, KNOWN) == failure
