"""Exceptions made again of their stored form.

The code that waits for a step must see on replay what it saw live: an exception of its own class,
or `StepFailed` with the text of one whose class is not declared. Which of the two it was is stored
with the failure (`noted`), and a class that has since left the declared ones is reported (`lost`)
instead of coming back as something else.

Invariants:
  * instances are made only of classes that the caller names or that are builtin; nothing is
    imported;
  * what would stop a process, a task or an iteration (KeyboardInterrupt, SystemExit,
    GeneratorExit, CancelledError, StopIteration) is never revived: a recorded one is a failure
    like any other.
"""

from __future__ import annotations

import builtins
import dataclasses
import sys
from collections.abc import Callable, Mapping

from outlast._codec.adapters import adapter_for
from outlast._codec.classes.records import RecordNode
from outlast._codec.failures import Failure, slots_of
from outlast._codec.modules import home_of, name_of_class
from outlast._codec.nodes.jsonlike import JSON_LIKE, decode_wire
from outlast._shapes import as_object, is_dict, is_group, is_subclass, is_tuple
from outlast.limits import CAUSES_MAX, DEPTH_MAX

Known = Mapping[tuple[str, str], type[BaseException]]


def revive(failure: Failure, known: Known, *, is_new: bool = False) -> BaseException | None:
    """Return the exception of a failure, or None if its class is not known or not restorable.

    Its class is that of `class_of`. One that came as text only before is not revived. A builtin is
    called with its args. Another class is made without its own `__new__`, `__init__` and
    `__setattr__`, which may take something else or refuse, and gets its args, attributes and slots
    back; a dataclass its fields. The cause is revived likewise.
    """
    try:
        return _Revival(known, is_new=is_new).exception(failure, depth=0)
    except Exception:  # noqa: BLE001 - `__new__` and `__setattr__` of the user's class ran
        return None


def class_of(failure: Failure, known: Known, *, is_new: bool = False) -> type[BaseException] | None:
    """Return the class of a failure: of that name, or what its old name stands for today.

    It is one of `known`, a builtin, or a loaded class that derives from one of `known`. A class
    that has moved is found by an alias that is left in its old module. A derived class counts
    only for a failure that `is_new`, or that came as itself before: records that do not say how
    theirs came were made when it did not count.
    """
    found = known.get((failure.module, failure.qualname))
    if found is None and failure.module == "builtins":
        found = _BUILTINS.get(failure.qualname)
    if found is None:
        alias = _attribute_path(_loaded(failure.module), failure.qualname)
        found = next((cls for cls in known.values() if as_object(cls) is alias), None)
        if found is None and (is_new or failure.came_as == "itself"):
            found = _derived(failure, alias, known)
    return None if found is None or _is_control(found) else found


def _derived(failure: Failure, alias: object, known: Known) -> type[BaseException] | None:
    """Return the loaded class of a failure's name that derives from one that users declared."""
    bases = tuple(cls for cls in known.values() if not cls.__module__.startswith(_OURS))
    if isinstance(alias, type) and issubclass(alias, bases):
        return alias
    found: type[BaseException] | None = None
    seen: set[type] = set()
    to_visit: list[type[BaseException]] = list(bases)
    while to_visit:
        for cls in type.__subclasses__(to_visit.pop()):
            if cls not in seen:
                seen.add(cls)
                to_visit.append(cls)
                if name_of_class(cls) == (failure.module, failure.qualname):
                    found = cls  # of several, such as local classes, any is of that base
    return found


_OURS = "outlast.errors"
"""Where classes are that come as themselves without a declaration, those that derive not."""


def explained(failure: Failure, known: Known) -> Failure:
    """Return a new failure that cannot be revived, with the reason in its message.

    One of a class that is not declared stays as it is.
    """
    reason = _why_not(failure, known)
    if reason is None:
        return failure
    return dataclasses.replace(
        failure, message=f"{failure.message} (raised as StepFailed: {reason})"
    )


def _why_not(failure: Failure, known: Known) -> str | None:
    cls = class_of(failure, known, is_new=True)
    if cls is None:
        return None
    if issubclass(cls, BaseExceptionGroup):
        if not failure.members:
            return "its members were not stored: too many, nested too deeply, or cyclic"
        for member in failure.members:
            if class_of(member, known, is_new=True) is None:
                name = f"{member.module}.{member.qualname}"
                return f"its member {name} is not declared; name it in raises="
            if revive(member, known, is_new=True) is None:
                return _why_not(member, known)
    if failure.args is None and failure.fields is None:
        return (
            f"the arguments of {failure.qualname} cannot be stored or are too large; make the "
            f"class a dataclass with typed fields, or raise it with text and numbers"
        )
    return f"{failure.qualname} cannot be rebuilt from its stored data"


def noted(failure: Failure, error: BaseException | None) -> Failure:
    """Return a failure that says as what it, its cause and its members were revived."""
    if error is None:
        return dataclasses.replace(failure, came_as="text")
    cause, members = failure.cause, failure.members
    if cause is not None:
        cause = noted(cause, error.__cause__)
    if members:
        members = tuple(map(noted, members, _members(error)))
    return dataclasses.replace(failure, came_as="itself", cause=cause, members=members)


def lost(failure: Failure, error: BaseException | None) -> Failure | None:
    """Return what was seen as an exception of its own class before, and is not in `error` now."""
    if error is None:
        return failure if failure.came_as == "itself" else None
    parts: list[tuple[Failure, BaseException | None]] = []
    if failure.cause is not None:
        parts.append((failure.cause, error.__cause__))
    parts += zip(failure.members, _members(error), strict=False)
    found = (lost(part, revived) for part, revived in parts)
    return next((part for part in found if part is not None), None)


def _members(error: BaseException) -> tuple[BaseException, ...]:
    members: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return members if is_group(error) else ()


def _loaded(module: str) -> object:
    is_script = module not in sys.modules and home_of("__main__") == module
    return sys.modules.get("__main__" if is_script else module)


def _attribute_path(owner: object, path: str) -> object:
    for name in path.split("."):
        names: Mapping[str, object] = getattr(owner, "__dict__", {})
        owner = names.get(name)
    return owner


_CONTROL = (KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, StopAsyncIteration)


def _is_control(cls: type[BaseException]) -> bool:
    # Whoever could have raised asyncio's CancelledError has imported it; we need not.
    cancelled: object = getattr(sys.modules.get("asyncio.exceptions"), "CancelledError", None)
    return issubclass(cls, _CONTROL) or (isinstance(cancelled, type) and issubclass(cls, cancelled))


_BUILTINS: dict[str, type[BaseException]] = {
    name: cls
    for name, cls in vars(builtins).items()
    if isinstance(cls, type) and issubclass(cls, BaseException) and not _is_control(cls)
}


class _Revival:
    """One exception, its causes and its members, made of the classes that are known."""

    def __init__(self, known: Known, *, is_new: bool) -> None:
        self._known = known
        self._is_new = is_new

    def exception(self, failure: Failure, *, depth: int) -> BaseException | None:
        """Return the exception of a failure, or None; may raise what the user's class raises."""
        cls = class_of(failure, self._known, is_new=self._is_new)
        if cls is None or depth > CAUSES_MAX or failure.came_as == "text":
            return None
        is_builtin = cls.__module__ == "builtins"
        exc = (
            self._group(cls, failure, depth)
            if is_subclass(cls, BaseExceptionGroup)
            else _revive_one(cls, failure, is_builtin=is_builtin)
        )
        if exc is None:
            return None
        _restore_state(exc, failure)
        if failure.cause is not None:
            _set(exc, "__cause__", self._part(failure.cause, depth))
        return exc

    def _group(
        self, cls: type[BaseException], failure: Failure, depth: int
    ) -> BaseException | None:
        members: list[BaseException] = []
        for member in failure.members:
            revived = self._part(member, depth)
            if revived is None:
                return None
            members.append(revived)
        args = _stored_args(failure)
        if not members or args is None:
            return None
        return _made(cls, (*args, members))

    def _part(self, failure: Failure, depth: int) -> BaseException | None:
        try:
            return self.exception(failure, depth=depth + 1)
        except Exception:  # noqa: BLE001 - a cause that cannot be restored is left out
            return None


def _revive_one(
    cls: type[BaseException], failure: Failure, *, is_builtin: bool
) -> BaseException | None:
    if failure.fields is not None:
        return _of_fields(cls, failure.fields, _stored_args(failure))
    args = _stored_args(failure)
    if args is None:
        return None
    if is_builtin:
        return cls(*args)
    made = _made(cls, args)
    if made is not None:
        _set(made, "args", args)
    return made


def _made(cls: type[BaseException], args: tuple[object, ...]) -> BaseException | None:
    """Return an instance whose `__init__` has not run, by the `__new__` of its builtin parent.

    Neither a `__new__` nor a `__setattr__` of the user's class can refuse: a frozen dataclass
    takes no attribute.
    """
    parent = next(owner for owner in cls.__mro__ if owner.__module__ == "builtins")
    attribute = "__new__"
    new: Callable[..., object] = getattr(parent, attribute)
    made = new(cls, *args)
    if not isinstance(made, BaseException) or as_object(type(made)) is not cls:
        return None
    return made


def _of_fields(
    cls: type[BaseException], fields: bytes, args: tuple[object, ...] | None
) -> BaseException | None:
    node = adapter_for(cls).node
    if args is None:
        args = ()
    made = _made(cls, args)
    if made is None or not isinstance(node, RecordNode):
        return None
    values = node.values_of(decode_wire(fields), DEPTH_MAX)
    for name, value in values.items():
        _set(made, name, value)
    _set(made, "args", args or tuple(values.values()))
    return made


def _set(exc: BaseException, name: str, value: object) -> None:
    object.__setattr__(exc, name, value)


def _stored_args(failure: Failure) -> tuple[object, ...] | None:
    if failure.args is None:
        return None
    args = JSON_LIKE.lift(decode_wire(failure.args), DEPTH_MAX)
    return args if is_tuple(args) else None


def _restore_state(exc: BaseException, failure: Failure) -> None:
    if failure.state is None:
        return
    state = JSON_LIKE.lift(decode_wire(failure.state), DEPTH_MAX)
    if is_dict(state):
        slots = frozenset(slots_of(type(exc)))
        for name, value in state.items():
            if type(name) is not str:
                continue
            if name in slots:
                _set(exc, name, value)
            elif failure.fields is None or name not in exc.__dict__:
                exc.__dict__[name] = value
