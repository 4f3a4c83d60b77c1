"""How classes of yours are stored, and how what was stored is read after they have changed.

codec(Money, encode=str, decode=Money.parse)

@evolve(WalletV1)
def _(old: WalletV1) -> Wallet:
    return Wallet(budget_left=old.budget)

Invariants:
  * stored data is never dropped and never guessed: without a conversion that fits, it is
    unreadable, and the run or actor is parked until there is one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeGuard, TypeVar, get_origin

from outlast._codec import (
    ClassCodec,
    Evolution,
    adapter_for,
    add_evolution,
    evolution_between,
    evolution_leads_to,
    reads_all_of,
    register_codec,
    resolved_hints,
)
from outlast._registry import default_registry, given_name, module_name
from outlast._wording.source_lines import defining_locals
from outlast.errors import RegistrationError

T = TypeVar("T")
D = TypeVar("D")
Old = TypeVar("Old")
New = TypeVar("New")


def codec(
    type: type[T],
    /,
    *,
    encode: Callable[[T], D],
    decode: Callable[[D], T],
    name: str | None = None,
) -> None:
    """Let instances of a class be arguments, results, state and messages.

    `encode` returns data that needs no declaration: None, bool, int, float, str, bytes, datetime,
    Decimal, UUID, and list, tuple, set and dict of these. `decode` takes that data and returns an
    instance of exactly this class. Both must be pure: they are called again on every replay.
    Register before the first step, workflow or actor whose annotations name the class.

    A value is stored only if encoding what `decode` returns gives the same data again;
    otherwise it is refused with an `EncodingError`. Instances of subclasses are refused.

    Args:
        type: the class; not one that is built in.
        encode: from an instance to data.
        decode: from data to an instance.
        name: what unions call the class in stored data, instead of `module.qualname`.

    Raises:
        RegistrationError: no class that can have a codec, or it has one of another module.
    """
    if not inspect.isclass(type):
        raise RegistrationError(f"codec() takes a class, got {type!r}")
    for what, function in (("encode", encode), ("decode", decode)):
        if not callable(function):
            raise RegistrationError(f"codec(): {what} is a function, not {function!r}")
        if inspect.iscoroutinefunction(function):
            raise RegistrationError(f"codec(): {what} is a plain function, not an `async def`")
    register_codec(
        type, ClassCodec(_erased(encode), _erased(decode), given_name("a codec's name", name) or "")
    )


def evolve(
    old: type[Old], /, *, name: str | None = None
) -> Callable[[Callable[[Old], New]], Callable[[Old], New]]:
    """Declare how a stored value of an old shape becomes one of today's class.

    `old` describes what is stored: a class that has the fields of then, or `dict[str, int]` and
    the like. The function takes such a value and returns an instance of the class in its return
    annotation. It is called when stored state, arguments, results, signals or messages are not
    that class as it is today, wherever the class occurs in a declared type.

    Guarantees: data that today's class reads is never converted. Of all old shapes of a class,
    exactly one must fit the data; where none does, conversions into the old shapes are tried, so
    chains work. In a union the stored name of the class decides. What is stored changes only
    when a value is stored anew. Where an engine is open, runs that are parked as unreadable are
    tried again.

    The function must be pure and plain (no `async def`): it is called again on every replay.

    Args:
        old: the old shape.
        name: the name that unions stored the old class by, `module.qualname` of then, when `old`
            has another one. With it `old` may be the class itself, which was moved or renamed.

    Raises:
        RegistrationError: the annotations do not fit, a type cannot be stored, the conversion is
            declared twice, would never be called, or conversions would go in a circle.
    """
    given = given_name("the old class's name", name)

    def decorate(function: Callable[[Old], New]) -> Callable[[Old], New]:
        add_evolution(_evolution(old, given, function))
        default_registry.announce()  # what was unreadable may be readable now
        return function

    return decorate


def _evolution(old: object, name: str | None, function: Callable[[Old], New]) -> Evolution:
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        raise RegistrationError(f"@evolve takes a plain function, got {function!r}")
    place = f"{module_name(function)}.{function.__qualname__} (line {_line(function)})"
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 1 or parameters[0].kind not in _POSITIONAL:
        raise RegistrationError(f"@evolve: {place} takes the old value and nothing else")
    hints = resolved_hints(function, defining_locals(function))
    if hints.get(parameters[0].name, old) != old:
        raise RegistrationError(
            f"@evolve: {place} takes {hints[parameters[0].name]!r}, which is not {old!r}"
        )
    new = hints.get("return")
    if new is None:
        raise RegistrationError(f"@evolve: {place} needs the new class as its return annotation")
    try:
        shape, target = adapter_for(old).node, adapter_for(new).node
    except RegistrationError as error:
        raise RegistrationError(f"@evolve: {place}: {error}") from None
    new_class, old_class = target.user_class, shape.user_class
    if new_class is None:
        raise RegistrationError(
            f"@evolve: {place} returns {target.name}, which is no class of yours: declare the "
            f"conversion of the class that contains it"
        )
    made = Evolution(
        tag=name or shape.tag(),
        old=old_class or get_origin(old) or old,
        shape=shape,
        new=new_class,
        target=target,
        convert=_erased(function),
        place=place,
    )
    _check(made, name)
    return made


def _check(made: Evolution, name: str | None) -> None:
    if made.old is made.new:
        if name is None or name == made.target.tag():
            raise RegistrationError(
                f"@evolve: {made.place} converts {made.target.name} to itself: give the old shape "
                f"a class of its own, or name= for a class that was moved"
            )
    elif evolution_leads_to(made.new, made.old):
        raise RegistrationError(
            f"@evolve: {made.place} closes a circle: {made.target.name} is an old shape of "
            f"{made.shape.name} already"
        )
    elif name is None and reads_all_of(made.target, made.shape):
        raise RegistrationError(
            f"@evolve: {made.place} would never be called: whatever was stored as {made.tag} is "
            f"read as {made.target.name} without it. If the meaning has changed, give the changed "
            f"field of {made.target.name} another name. If only the class was renamed, nothing is "
            f"to be done but in unions, which stored its name: declare @evolve("
            f"{made.target.name}, name={made.tag!r})"
        )
    before = evolution_between(made.new, made.old, made.tag)
    if before is not None and not _replaces(made.convert, before.convert):
        raise RegistrationError(
            f"@evolve: the conversion from {made.tag} to {made.target.name} is declared twice, by "
            f"{before.place} and {made.place}: remove one"
        )


def _replaces(new: object, old: object) -> bool:
    """Tell whether one function is the other one again: reloaded, or a notebook's cell."""
    if not inspect.isfunction(new) or not inspect.isfunction(old):
        return False
    if module_name(new) != module_name(old):
        return False
    one, other = new.__code__, old.__code__
    return one.co_filename != other.co_filename or one.co_firstlineno == other.co_firstlineno


def _line(function: Callable[[Old], New]) -> int:
    return inspect.unwrap(function).__code__.co_firstlineno if inspect.isfunction(function) else 0


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _takes_anything(function: object) -> TypeGuard[Callable[[object], object]]:
    return callable(function)


def _erased(function: Callable[[Old], New]) -> Callable[[object], object]:
    """Return a function as one of anything: the codec has checked the value's class."""
    erased: object = function
    if not _takes_anything(erased):
        raise TypeError("a function was checked before")
    return erased
