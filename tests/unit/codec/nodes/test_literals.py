"""Members of enums in a Literal are stored by the rule of the enum: texts by value, not by name."""

from __future__ import annotations

import enum
from typing import Literal

import msgspec
import pytest

from outlast import evolve
from outlast._codec import adapter_for
from outlast.errors import DecodingError


class Old:
    class Text(enum.StrEnum):
        A = "a"
        B = "b"

    class Mixin(str, enum.Enum):  # noqa: UP042 - the older way of a StrEnum
        A = "a"
        B = "b"

    class Number(enum.Enum):
        A = 1
        B = 2

    class Bits(enum.Flag):
        A = 1
        B = 2
        AB = 3


class Swapped:
    class Text(enum.StrEnum):
        A = "b"
        B = "a"

    class Mixin(str, enum.Enum):  # noqa: UP042 - the older way of a StrEnum
        A = "b"
        B = "a"

    class Number(enum.Enum):
        A = 2
        B = 1

    class Bits(enum.Flag):
        A = 2
        B = 1
        AB = 3


for _name in ("Text", "Mixin", "Number", "Bits"):
    getattr(Swapped, _name).__qualname__ = getattr(Old, _name).__qualname__

LITERALS = {
    "Text": (Literal[Old.Text.A, Old.Text.B], Literal[Swapped.Text.A, Swapped.Text.B]),
    "Mixin": (Literal[Old.Mixin.A, Old.Mixin.B], Literal[Swapped.Mixin.A, Swapped.Mixin.B]),
    "Number": (Literal[Old.Number.A, Old.Number.B], Literal[Swapped.Number.A, Swapped.Number.B]),
    "Bits": (
        Literal[Old.Bits.A, Old.Bits.B, Old.Bits.AB],
        Literal[Swapped.Bits.A, Swapped.Bits.B, Swapped.Bits.AB],
    ),
}


@pytest.mark.parametrize("kind", list(LITERALS))
def test_a_literal_reads_what_its_plain_enum_stored_and_the_other_way_round(kind: str) -> None:
    plain, literal = adapter_for(getattr(Old, kind)), adapter_for(LITERALS[kind][0])
    members: type[enum.Enum] = getattr(Old, kind)

    for member in members.__members__.values():
        assert plain.decode(plain.encode(member)) is member
        assert literal.decode(literal.encode(member)) is member
        assert literal.decode(plain.encode(member)) is member
        assert plain.decode(literal.encode(member)) is member


@pytest.mark.parametrize("kind", list(LITERALS))
def test_a_changed_enum_reads_the_same_member_in_a_literal_as_plainly(kind: str) -> None:
    before, after = (adapter_for(literal) for literal in LITERALS[kind])
    plain_before, plain_after = (adapter_for(getattr(c, kind)) for c in (Old, Swapped))
    members: type[enum.Enum] = getattr(Old, kind)

    for member in members.__members__.values():
        read = plain_after.decode(plain_before.encode(member))
        assert after.decode(before.encode(member)) is read


def test_a_renamed_member_of_a_text_enum_is_found_by_its_value() -> None:
    class Renamed(enum.StrEnum):
        Q = "a"
        B = "b"

    Renamed.__qualname__ = Old.Text.__qualname__
    Renamed.__module__ = Old.Text.__module__
    stored = adapter_for(Literal[Old.Text.A]).encode(Old.Text.A)

    assert adapter_for(Literal[Renamed.Q]).decode(stored) is Renamed.Q
    with pytest.raises(DecodingError, match="none of the declared literals"):
        adapter_for(Literal[Renamed.B]).decode(stored)


def test_a_stored_value_is_no_name_of_a_member() -> None:
    class Texts(enum.Enum):
        A = "B"
        B = "A"

    class Numbers(enum.Enum):
        A = 1
        B = 2

    Numbers.__qualname__ = Texts.__qualname__
    stored = adapter_for(Literal[Texts.A, Texts.B]).encode(Texts.A)

    with pytest.raises(DecodingError):
        adapter_for(Literal[Numbers.A, Numbers.B]).decode(stored)


def test_a_text_that_two_enums_have_is_not_guessed() -> None:
    class Other(enum.StrEnum):
        A = "a"

    both = adapter_for(Literal[Old.Text.A, Other.A])
    with pytest.raises(DecodingError, match="several of the declared enums"):
        both.decode(adapter_for(Old.Text).encode(Old.Text.A))
    assert both.decode(both.encode(Other.A)) is Other.A
    assert both.decode(both.encode(Old.Text.A)) is Old.Text.A


def test_the_same_text_as_itself_and_as_a_member_are_told_apart() -> None:
    both = adapter_for(Literal[Old.Text.A, "a"])

    assert both.decode(both.encode(Old.Text.A)) is Old.Text.A
    assert type(both.decode(both.encode("a"))) is str


@pytest.mark.parametrize("kind", ["Text", "Number"])
def test_what_older_versions_stored_by_the_full_name_is_read(kind: str) -> None:
    cls: type[enum.Enum] = getattr(Old, kind)
    for stored in ([f"{__name__}.Old.{kind}.A"], [f"Old.{kind}.A"]):
        data = msgspec.msgpack.encode(stored)

        assert adapter_for(LITERALS[kind][0]).decode(data) is cls.__members__["A"]
    full = msgspec.msgpack.encode([f"{__name__}.Old.{kind}.A"])
    assert adapter_for(cls).decode(full) is cls.__members__["A"]


def test_a_literal_of_an_enum_that_has_moved_is_converted() -> None:
    class Moved(enum.StrEnum):
        A = "a"

    @evolve(Moved, name=f"{__name__}.Old.Mixin")
    def _(old: Moved) -> Moved:
        return old

    stored = adapter_for(LITERALS["Mixin"][0]).encode(Old.Mixin.A)

    assert adapter_for(Literal[Moved.A]).decode(stored) is Moved.A
