"""Ids that are made of a call's arguments outlive compatible changes of the classes in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import pydantic
import pytest

from outlast._codec import Bound, SignatureCodec


def digest(annotation: object, value: object) -> bytes:
    """Return the digest of the call `f(value)`."""

    def f(p: object) -> None:
        del p

    f.__annotations__["p"] = annotation
    return SignatureCodec(f, stores_defaults=True).digest_given(Bound((value,), {}))


def stored_digest(annotation: object, value: object) -> bytes:
    def f(p: object) -> None:
        del p

    f.__annotations__["p"] = annotation
    return SignatureCodec(f, stores_defaults=True).digest(Bound((value,), {}))


class Old:
    """The classes as they are when the first run begins; `New` has them as they are later."""

    @dataclass
    class Data:
        a: int
        z: int = 3

    class Struct(msgspec.Struct):
        a: int
        z: int = 3

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        a: int
        z: int = 3

    class Tuple(NamedTuple):
        a: int
        z: int = 3


class New:
    @dataclass
    class Data:
        z: int = 3
        a: int = 0
        b: list[int] = field(default_factory=list[int])
        c: float = 0.0

    class Struct(msgspec.Struct):
        z: int = 3
        a: int = 0
        b: list[int] = []
        c: float = 0.0

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        z: int = 3
        a: int = 0
        b: list[int] = []
        c: float = 0.0
        _d: int = pydantic.PrivateAttr(default=1)

    class Tuple(NamedTuple):
        z: int = 3
        a: int = 0
        b: tuple[int, ...] = ()
        c: float = 0.0


for _name in ("Data", "Struct", "Model", "Tuple"):
    getattr(New, _name).__qualname__ = getattr(Old, _name).__qualname__

KINDS = ("Data", "Struct", "Model", "Tuple")


def both(kind: str) -> tuple[type, type]:
    old: type = getattr(Old, kind)
    new: type = getattr(New, kind)
    return old, new


SHAPES: list[Callable[[object, object], tuple[object, object]]] = [
    lambda cls, value: (cls, value),
    lambda cls, value: (list[cls], [value]),  # type: ignore[valid-type]  # a class of the case
    lambda cls, value: (dict[str, cls], {"k": value}),  # type: ignore[valid-type]  # likewise
    lambda cls, value: (int | cls, value),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_an_id_outlives_added_defaults_and_reordered_fields(kind: str, shape: int) -> None:
    old, new = both(kind)

    assert digest(*SHAPES[shape](old, old(a=1))) == digest(*SHAPES[shape](new, new(a=1)))
    assert digest(*SHAPES[shape](old, old(a=1, z=4))) == digest(*SHAPES[shape](new, new(a=1, z=4)))


@pytest.mark.parametrize("kind", KINDS)
def test_other_values_give_other_ids(kind: str) -> None:
    _, new = both(kind)
    other = (1,) if kind == "Tuple" else [1]
    values = [new(a=1), new(a=2), new(a=1, z=4), new(a=1, b=other), new(a=1, c=0.5)]

    assert len({digest(new, value) for value in values}) == len(values)
    assert len({stored_digest(new, value) for value in values}) == len(values)


def test_equal_calls_of_reordered_classes_have_one_stored_digest() -> None:
    @dataclass
    class Reordered:
        z: int
        a: int

    assert stored_digest(Old.Data, Old.Data(1, 2)) == stored_digest(Reordered, Reordered(2, 1))


def test_a_changed_default_does_not_hide_behind_a_stored_digest() -> None:
    @dataclass
    class Changed:
        a: int
        z: int = 4

    assert stored_digest(Old.Data, Old.Data(1)) != stored_digest(Changed, Changed(1))


def test_nested_defaults_of_the_class_itself_end() -> None:
    @dataclass
    class Tree:
        left: object = dataclasses.field(default_factory=lambda: {"leaf": 1})
        right: Tree | None = dataclasses.field(default_factory=lambda: Tree(right=None))

    Tree.__annotations__["right"] = Tree | None

    assert digest(Tree, Tree()) == digest(Tree, Tree(right=Tree(right=None)))
    assert digest(Tree, Tree()) != digest(Tree, Tree(right=None))


def test_a_union_inside_an_arm_may_gain_arms_of_its_own() -> None:
    assert digest(list[int | str] | dict[str, int], [1]) == digest(
        list[int | str | bytes] | dict[str, int], [1]
    )
    assert digest(list[Old.Data] | list[Old.Struct], [Old.Data(1)]) != digest(
        list[Old.Data] | list[Old.Struct], [Old.Struct(1)]
    )


def test_an_extra_has_the_id_of_the_field_that_it_becomes() -> None:
    before = Old.Model.model_validate({"a": 1, "b": [2]})

    assert digest(Old.Model, before) == digest(New.Model, New.Model(a=1, b=[2]))


def test_what_kwargs_took_has_the_id_of_the_parameter_that_it_becomes() -> None:
    def before(a: int, **kw: int) -> None:
        del a, kw

    def after(a: int, x: int = 0, **kw: int) -> None:
        del a, x, kw

    old, new = (SignatureCodec(f, stores_defaults=True) for f in (before, after))
    call = Bound((1,), {"x": 5, "y": 6})

    assert old.digest_given(call) == new.digest_given(call)
    assert old.digest_given(call) != old.digest_given(Bound((1,), {"x": 5}))


def test_equal_calls_have_one_id_however_they_are_written() -> None:
    def f(a: int, x: int = 0, **kw: int) -> None:
        del a, x, kw

    codec = SignatureCodec(f, stores_defaults=True)

    assert codec.digest_given(Bound((1,), {})) == codec.digest_given(Bound((1, 0), {}))
    assert codec.digest_given(Bound((1,), {})) != codec.digest_given(Bound((1, 2), {}))


def test_a_keyword_argument_may_have_the_name_of_a_positional_only_parameter() -> None:
    def f(a: int, /, **kw: int) -> None:
        del a, kw

    codec = SignatureCodec(f, stores_defaults=True)

    assert codec.digest_given(Bound((1,), {"a": 2})) != codec.digest_given(Bound((2,), {"a": 1}))
