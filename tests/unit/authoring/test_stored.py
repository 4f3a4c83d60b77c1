"""`codec` and `evolve`: classes of users, stored, and read after they have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from outlast import codec, evolve
from outlast._codec import SignatureCodec, adapter_for
from outlast._codec.nodes import evolution
from outlast.errors import DecodingError, EncodingError, RegistrationError
from tests.preloaded import run_program
from tests.unit.authoring.wallets import (
    Color,
    ColorV1,
    Dict,
    DictV1,
    Model,
    ModelV1,
    Other,
    Row,
    RowV1,
    Struct,
    StructV1,
    Team,
    Wallet,
    WalletV1,
    WalletV2,
    first,
    second,
)


@pytest.fixture(autouse=True)
def _own_conversions() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]  # a fixture
    before = dict(evolution.registered)
    yield
    evolution.registered.clear()
    evolution.registered.update(before)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (WalletV1(20), WalletV2),
        (ModelV1(budget=20), Model),
        (StructV1(20), Struct),
        (RowV1(20), Row),
        (ColorV1.RED, Color),
    ],
)
def test_a_stored_field_that_the_class_does_not_have_is_an_error_with_the_ways_out(
    old: object, new: type
) -> None:
    stored = adapter_for(type(old)).encode(old)

    with pytest.raises(DecodingError, match=r"(budget.*restore.*@outlast.evolve)|alias"):
        adapter_for(new).decode(stored)


def test_a_stored_key_that_a_typed_dict_does_not_have_is_an_error() -> None:
    stored = adapter_for(dict[str, DictV1]).encode({"a": {"budget": 20}})

    with pytest.raises(DecodingError, match=r"\$\.a: the stored Dict has a field .*: budget"):
        adapter_for(dict[str, Dict]).decode(stored)


def test_a_conversion_reads_the_old_shape_wherever_the_class_is_declared() -> None:
    evolve(WalletV2)(second)
    one, three = WalletV2(20), {"a": (WalletV2(1),)}

    assert adapter_for(Wallet).decode(adapter_for(WalletV2).encode(one)) == Wallet(2_000)
    stored = adapter_for(dict[str, tuple[WalletV2]]).encode(three)
    assert adapter_for(dict[str, tuple[Wallet]]).decode(stored) == {"a": (Wallet(100),)}
    assert adapter_for(Wallet | None).decode(adapter_for(WalletV2).encode(one)) == Wallet(2_000)
    wire = msgspec.msgpack.encode({"wallets": [{"budget_left": 3}]})
    assert adapter_for(Team).decode(wire) == Team([Wallet(300)])


def test_conversions_are_chained() -> None:
    evolve(WalletV1)(first)
    evolve(WalletV2)(second)

    assert adapter_for(Wallet).decode(adapter_for(WalletV1).encode(WalletV1(7))) == Wallet(700)


def test_what_is_stored_as_today_is_never_converted() -> None:
    @evolve(WalletV1)
    def _(old: WalletV1) -> Wallet:  # pyright: ignore[reportUnusedFunction]  # registered
        raise AssertionError(old)

    wallet = adapter_for(Wallet)

    assert wallet.decode(wallet.encode(Wallet(1))) == Wallet(1)
    assert wallet.decode(msgspec.msgpack.encode({})) == Wallet()


def test_a_union_that_stored_the_old_class_gives_the_new_one() -> None:
    evolve(WalletV1)(first)
    evolve(WalletV2)(second)
    stored = adapter_for(Other | WalletV1).encode(WalletV1(7))

    assert adapter_for(Wallet | Other).decode(stored) == Wallet(700)
    assert adapter_for(Wallet).decode(stored) == Wallet(700)
    with pytest.raises(DecodingError, match="WalletV1"):
        adapter_for(Team | Other).decode(stored)


def test_a_class_that_was_moved_is_read_by_its_old_name() -> None:
    @evolve(Wallet, name="old.place.Purse")
    def _(old: Wallet) -> Wallet:  # pyright: ignore[reportUnusedFunction]  # registered
        return old

    stored = adapter_for(Other | Wallet).encode(Wallet(7))
    old, new = b"tests.unit.authoring.wallets.Wallet", b"old.place.Purse"
    renamed = stored.replace(bytes((0xC7, len(old), 6)) + old, bytes((0xC7, len(new), 6)) + new)

    assert adapter_for(Wallet | Other).decode(renamed) == Wallet(7)


def test_data_that_fits_two_old_shapes_is_refused_naming_both() -> None:
    evolve(WalletV1)(first)

    @evolve(StructV1)
    def _(old: StructV1) -> WalletV2:  # pyright: ignore[reportUnusedFunction]  # registered
        return WalletV2(old.budget)

    with pytest.raises(DecodingError, match=r"WalletV1 and .*StructV1"):
        adapter_for(WalletV2).decode(adapter_for(WalletV1).encode(WalletV1(7)))


def test_data_of_no_known_shape_names_the_old_ones() -> None:
    evolve(WalletV1)(first)

    with pytest.raises(DecodingError, match=r": x\..*does not have the old shape .*V1"):
        adapter_for(WalletV2).decode(msgspec.msgpack.encode({"x": 1}))


def test_a_conversion_that_fails_is_named() -> None:
    @evolve(WalletV1)
    def fails(old: WalletV1) -> WalletV2:  # pyright: ignore[reportUnusedFunction]  # registered
        raise KeyError(old.budget)

    @evolve(StructV1)
    def lies(old: StructV1) -> Other:  # pyright: ignore[reportUnusedFunction]  # registered
        made = Other()
        made.__dict__["owner"] = old.budget
        return made

    with pytest.raises(DecodingError, match=r"fails \(line \d+\) failed: KeyError: 7"):
        adapter_for(WalletV2).decode(adapter_for(WalletV1).encode(WalletV1(7)))
    with pytest.raises(DecodingError, match=r"lies.* did not return a valid Other: \$\.owner"):
        adapter_for(Other).decode(adapter_for(StructV1).encode(StructV1(7)))


def test_a_shape_that_was_no_class_can_be_old() -> None:
    @evolve(dict[str, int])
    def _(old: dict[str, int]) -> Other:  # pyright: ignore[reportUnusedFunction]  # registered
        return Other(",".join(old))

    stored = adapter_for(dict[str, int]).encode({"ann": 1})

    assert adapter_for(Other).decode(stored) == Other("ann")


async def _coroutine(old: WalletV1) -> WalletV2:
    return WalletV2(old.budget)


def _nothing(old: WalletV1) -> None:
    del old


def _other_parameter(old: Other) -> WalletV2:
    return WalletV2(len(old.owner))


def _two(old: WalletV1, more: int) -> WalletV2:
    return WalletV2(old.budget + more)


def _to_int(old: WalletV1) -> int:
    return old.budget


def _to_itself(old: WalletV1) -> WalletV1:
    return old


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_coroutine, "plain function"),
        (_nothing, "returns None"),
        (_other_parameter, "takes .*Other"),
        (_two, "nothing else"),
        (_to_int, "no class of yours"),
        (_to_itself, "to itself"),
    ],
)
def test_a_conversion_is_checked_when_it_is_declared(
    function: Callable[..., object], message: str
) -> None:
    with pytest.raises(RegistrationError, match=message):
        evolve(WalletV1)(function)


def test_a_conversion_declared_twice_or_in_a_circle_is_refused() -> None:
    evolve(WalletV1)(first)
    evolve(WalletV1)(first)
    evolve(WalletV2)(second)

    def again(old: WalletV1) -> WalletV2:
        return WalletV2(old.budget)

    def back(old: Wallet) -> WalletV1:
        return WalletV1(old.cents_left)

    with pytest.raises(RegistrationError, match="declared twice"):
        evolve(WalletV1)(again)
    with pytest.raises(RegistrationError, match="circle"):
        evolve(Wallet)(back)


def test_a_stored_argument_that_the_function_does_not_take_is_an_error_with_the_ways_out() -> None:
    def before(order: str, cents: int = 5) -> None: ...
    def after(order: str, amount: int = 5) -> None: ...

    old, new = SignatureCodec(before), SignatureCodec(after)

    with pytest.raises(DecodingError, match=r"\$\.cents: .*after\(\).*restore the parameter"):
        new.decode(old.encode(old.bind(("o", 7), {})))
    assert new.decode(old.encode(old.bind(("o",), {}))) == (("o",), {})


# ---- in an engine ----------------------------------------------------------------------------


PROGRAM = """
import asyncio, sys
from dataclasses import dataclass, field
from outlast import Actor, Engine, Run, actor, evolve, handler, workflow
from outlast.errors import OutlastError

@dataclass
class {before}:
    budget: int = 40

{after}

@actor(name="Wallet")
class Wallet(Actor[State]):
    @handler
    async def spend(self, n: int) -> str:
        self.state.{field} -= n
        return str(self.state)

async def main() -> None:
    async with Engine.open(sys.argv[1]) as engine:
        wallet = engine.actor(Wallet, "ann")
        try:
            print(await wallet.options(timeout=1).ask(Wallet.spend, 10))
        except OutlastError as error:
            print(type(error).__name__)

asyncio.run(main())
"""
NEW = """
@dataclass
class State:
    left: int = 40
"""
CONVERSION = """
@evolve(StateV1)
def _(old: StateV1) -> State:
    return State(old.budget)
"""


def test_an_actors_state_survives_a_renamed_field(tmp_path: Path) -> None:
    def said(before: str, after: str, name: str) -> str:
        file = tmp_path / "app.py"
        file.write_text(PROGRAM.format(before=before, after=after, field=name))
        done = run_program(file, str(tmp_path / "o.db"))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert said("State", "", "budget") == "State(budget=30)"
    assert "State" not in said("StateV1", NEW, "left")
    # 10 if the message that could not be handled was kept, 20 if its sender had withdrawn it.
    converted = said("StateV1", NEW + CONVERSION, "left")
    assert converted in ("State(left=10)", "State(left=20)")


# ---- codec -----------------------------------------------------------------------------------


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class Rounded(Money):
    pass


def test_a_class_with_a_codec_is_stored_as_itself() -> None:
    codec(Money, encode=lambda m: (m.cents, "EUR"), decode=lambda d: Money(d[0]))
    adapter = adapter_for(Money | int)

    again = adapter.decode(adapter.encode(Money(5)))

    assert type(again) is Money
    assert again.cents == 5
    assert adapter.decode(adapter.encode(5)) == 5
    assert adapter.digest(Money(5)) == adapter.digest(Money(5))
    assert adapter.to_json(Money(5)) == [5, "EUR"]
    with pytest.raises(EncodingError, match="declared Money, got Rounded"):
        adapter_for(Money).encode(Rounded(1))


def test_a_codec_that_loses_something_is_refused_when_it_stores() -> None:
    codec(Rounded, encode=lambda m: m.cents, decode=lambda d: Rounded(d // 10))

    with pytest.raises(EncodingError, match="does not decode to the same value"):
        adapter_for(Rounded).encode(Rounded(15))
    with pytest.raises(DecodingError, match="codec of Rounded failed: TypeError"):
        adapter_for(Rounded).decode(adapter_for(str).encode("a"))


def test_a_codec_is_checked_when_it_is_registered() -> None:
    register: Callable[..., None] = codec

    with pytest.raises(RegistrationError, match="int is a basic type"):
        codec(int, encode=str, decode=int)
    with pytest.raises(RegistrationError, match="takes a class"):
        register("Money", encode=str, decode=str)


def test_the_refusal_of_a_class_names_the_codec() -> None:
    class Unknown:
        pass

    with pytest.raises(RegistrationError, match=r"outlast.codec\(.*Unknown, encode="):
        adapter_for(Unknown)
