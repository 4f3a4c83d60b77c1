"""Which conversion of `@evolve` is used for stored data, and which are refused."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest

from outlast import evolve
from outlast._codec import adapter_for
from outlast._codec.nodes import evolution
from outlast.errors import DecodingError, RegistrationError
from tests.unit.authoring.wallets import (
    DictV1,
    Other,
    StructV2,
    Wallet,
    WalletV1,
    WalletV2,
    first,
    second,
)

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _own_conversions() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]  # a fixture
    before = dict(evolution.registered)
    yield
    evolution.registered.clear()
    evolution.registered.update(before)


def test_data_that_fits_an_old_shape_and_one_before_it_is_refused_naming_both() -> None:
    @evolve(WalletV1)
    def _(old: WalletV1) -> StructV2:  # pyright: ignore[reportUnusedFunction]  # registered
        return StructV2(old.budget, "EUR")

    @evolve(StructV2)
    def _(old: StructV2) -> Wallet:  # pyright: ignore[reportUnusedFunction]  # registered
        return Wallet(old.budget)

    @evolve(DictV1)
    def _(old: DictV1) -> Wallet:  # pyright: ignore[reportUnusedFunction]  # registered
        return Wallet(old["budget"])

    with pytest.raises(DecodingError, match=r"fits several old shapes, .*DictV1 and .*WalletV1"):
        adapter_for(Wallet).decode(adapter_for(WalletV1).encode(WalletV1(7)))
    stored = adapter_for(StructV2).encode(StructV2(7, "EUR"))
    assert adapter_for(Wallet).decode(stored) == Wallet(7)


def test_a_direct_conversion_goes_before_a_chain_of_the_same_shape() -> None:
    evolve(WalletV1)(first)
    evolve(WalletV2)(second)

    @evolve(WalletV1)
    def _(old: WalletV1) -> Wallet:  # pyright: ignore[reportUnusedFunction]  # registered
        return Wallet(old.budget)

    assert adapter_for(Wallet).decode(adapter_for(WalletV1).encode(WalletV1(7))) == Wallet(7)


def test_two_chains_of_one_length_are_refused_naming_both() -> None:
    evolve(WalletV1)(first)
    evolve(WalletV2)(second)

    @evolve(WalletV1)
    def _(old: WalletV1) -> StructV2:  # pyright: ignore[reportUnusedFunction]  # registered
        return StructV2(old.budget, "EUR")

    @evolve(StructV2)
    def _(old: StructV2) -> Wallet:  # pyright: ignore[reportUnusedFunction]  # registered
        return Wallet(old.budget)

    with pytest.raises(DecodingError, match=r"V1 -> .*WalletV2 and .*V1 -> .*StructV2"):
        adapter_for(Wallet).decode(adapter_for(WalletV1).encode(WalletV1(7)))


@dataclass
class Box(Generic[T]):
    item: T


@pytest.mark.parametrize(
    ("old", "new", "stored", "read"),
    [
        (list[WalletV2], list[Wallet], [WalletV2(1)], [Wallet(100)]),
        (dict[str, WalletV2], dict[str, Wallet], {"a": WalletV2(1)}, {"a": Wallet(100)}),
        (tuple[WalletV2, ...], tuple[Wallet, ...], (WalletV2(1),), (Wallet(100),)),
        (tuple[int, WalletV2], tuple[int, Wallet], (1, WalletV2(1)), (1, Wallet(100))),
        (deque[WalletV2], deque[Wallet], deque([WalletV2(1)]), deque([Wallet(100)])),
        (Box[WalletV2], Box[Wallet], Box(WalletV2(1)), Box(Wallet(100))),
        (Box[WalletV2] | Other, Box[Wallet] | Other, Box(WalletV2(1)), Box(Wallet(100))),
        (
            list[WalletV2] | dict[str, WalletV2],
            list[Wallet] | dict[str, Wallet],
            [WalletV2(1)],
            [Wallet(100)],
        ),
        (
            list[WalletV2 | Other] | Other,
            list[Wallet | Other] | Other,
            [Other("a"), WalletV2(1)],
            [Other("a"), Wallet(100)],
        ),
        (
            Box[dict[str, WalletV2 | Other]] | Other,
            Box[dict[str, Wallet | Other]] | Other,
            Box({"a": WalletV2(1)}),
            Box({"a": Wallet(100)}),
        ),
    ],
)
def test_a_conversion_is_used_inside_of_containers(
    old: object, new: object, stored: object, read: object
) -> None:
    evolve(WalletV2)(second)

    assert adapter_for(new).decode(adapter_for(old).encode(stored)) == read


@dataclass
class Cents:
    amount: int


@dataclass
class Euros:
    amount: int


@dataclass
class Priced:
    amount: int
    currency: str = "EUR"


class CentsDict(TypedDict):
    amount: int


class CentsRow(NamedTuple):
    amount: int


class Perhaps(msgspec.Struct):
    amount: int | None


class Signs(enum.Enum):
    UP = "up"


class MoreSigns(enum.Enum):
    UP = "up"
    DOWN = "down"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Cents, Euros),
        (Cents, Priced),
        (CentsDict, Euros),
        (CentsRow, Euros),
        (Cents, Perhaps),
        (Euros, CentsDict),
        (Signs, MoreSigns),
    ],
)
def test_a_conversion_that_would_never_be_called_is_refused_with_advice(
    old: type, new: type
) -> None:
    def convert(old: object) -> object:
        return old

    convert.__annotations__.update({"old": old, "return": new})

    with pytest.raises(RegistrationError, match=r"never be called.*another name.*name='"):
        evolve(old)(convert)


@pytest.mark.parametrize(
    ("old", "new"),
    [(Priced, Euros), (Perhaps, Euros), (MoreSigns, Signs), (Cents, Other), (Wallet, Euros)],
)
def test_a_conversion_that_can_be_called_is_taken(old: type, new: type) -> None:
    def convert(old: object) -> object:
        return old

    convert.__annotations__.update({"old": old, "return": new})

    evolve(old)(convert)
