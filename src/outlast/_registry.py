"""What modules declare: workflows, steps, names and errors, found again by name.

Invariants:
  * a name stands for one definition; the same function registered again (a reload, a notebook
    cell) replaces the older one;
  * stored data only ever names things that are registered here: nothing is imported because data
    says so.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeGuard

from outlast import errors, limits
from outlast._built import BUILT
from outlast._callables import collect, does_the_same, file_of, place_of
from outlast._codec import Adapter, SignatureCodec, home_of, name_of_class
from outlast.errors import RegistrationError, UnknownActor, UnknownWorkflow
from outlast.types import Jitter, Once, Overflow, Where, WhileBusy

Function = Callable[..., object]
Definition = Function | type[object]
Reference = weakref.ref[Callable[..., object]]


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """`types.Retry` with its lengths in seconds."""

    attempts: int = 1
    first_seconds: float = 0.2
    factor: float = 2.0
    cap_seconds: float = 30.0
    jitter: Jitter = "full"
    within_seconds: float | None = None
    never_on: tuple[type[BaseException], ...] = ()
    parks: bool = False


@dataclass(frozen=True, slots=True)
class TimeoutPlan:
    """`types.Timeout` in seconds."""

    run: float | None = None
    queue: float | None = None
    total: float | None = None
    idle: float | None = None


NO_RETRY = RetryPlan()
NO_TIMEOUT = TimeoutPlan()


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """A function that runs outside the workflow's loop and whose outcome is recorded."""

    name: str
    fn: Function
    signature: SignatureCodec
    is_async: bool
    retry: RetryPlan = NO_RETRY
    timeout: TimeoutPlan = NO_TIMEOUT
    raises: tuple[type[BaseException], ...] = ()
    once: Once = "at_least"
    where: Where = "auto"
    is_wait: bool = False  # one of our own that only waits for another run


@dataclass(frozen=True, slots=True)
class WorkflowDefinition:
    """A coroutine function whose runs are durable."""

    name: str
    fn: Function
    signature: SignatureCodec
    label: str = ""
    timeout_seconds: float | None = None
    known_version: str = ""  # of code that is not here: another process computed it


@dataclass(frozen=True, slots=True)
class HandlerDefinition:
    """A method of an actor that answers messages of its name."""

    name: str
    fn: Function
    signature: SignatureCodec
    is_read: bool = False
    topic: str = ""  # whose publications it takes
    parameter: str = ""  # by this parameter
    while_busy: WhileBusy | None = None  # None: it waits its turn, whatever its sender wants


@dataclass(frozen=True, slots=True)
class ActorDefinition:
    """A class of actors.

    `make` gives an instance for a state and a key, `enter` tells it who sent the message that it
    is about to handle, `state_of` reads its state back, `restore` sets it.
    """

    name: str
    cls: type[object]
    state: Adapter
    initial: Callable[[], object]
    make: Callable[[object, str], object]
    enter: Callable[[object, str], None]
    state_of: Callable[[object], object]
    restore: Callable[[object, object], None]
    handlers: Mapping[str, HandlerDefinition]
    mailbox: int
    overflow: Overflow
    idle_seconds: float
    attempts: int
    is_durable: bool
    is_reentrant: bool = False  # lets asks in that come from those it asked
    lets_in: bool = False  # messages may be handled within another one
    supervises: bool = False  # to stop it is to stop its team


@dataclass(frozen=True, slots=True)
class NameDefinition:
    """A declared signal, value, stream or topic."""

    name: str
    adapter: Adapter | None  # None: declared several times with different types


@dataclass(frozen=True, slots=True)
class UpdateDefinition:
    """A declared update; None: declared several times with different types."""

    name: str
    request: Adapter | None
    response: Adapter | None


@dataclass(slots=True)
class Registry:
    """Definitions by name."""

    workflows: dict[str, WorkflowDefinition] = field(default_factory=dict[str, WorkflowDefinition])
    steps: dict[str, StepDefinition] = field(default_factory=dict[str, StepDefinition])
    signals: dict[str, NameDefinition] = field(default_factory=dict[str, NameDefinition])
    values: dict[str, NameDefinition] = field(default_factory=dict[str, NameDefinition])
    updates: dict[str, UpdateDefinition] = field(default_factory=dict[str, UpdateDefinition])
    actors: dict[str, ActorDefinition] = field(default_factory=dict[str, ActorDefinition])
    streams: dict[str, NameDefinition] = field(default_factory=dict[str, NameDefinition])
    topics: dict[str, NameDefinition] = field(default_factory=dict[str, NameDefinition])
    known_errors: dict[tuple[str, str], type[BaseException]] = field(
        default_factory=dict[tuple[str, str], type[BaseException]]
    )
    on_workflow: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    # Definitions that were replaced by another one of their name and still exist, by their kind
    # and name; and how many engines are open that could execute them.
    replaced: dict[tuple[str, str], list[Reference]] = field(
        default_factory=dict[tuple[str, str], list[Reference]]
    )
    engines: int = 0

    def add_name(self, names: dict[str, NameDefinition], definition: NameDefinition) -> None:
        """Register a signal, value, stream or topic.

        Two modules may use one name for two types; then the name alone tells no type, and what
        comes by it is read by whoever declared it.
        """
        known = names.get(definition.name)
        if known is not None and known.adapter is not definition.adapter:
            definition = NameDefinition(definition.name, None)
        names[definition.name] = definition

    def add_update(self, name: str, request: Adapter, response: Adapter) -> None:
        """Register an update; see `add_name` for one name with different types."""
        known = self.updates.get(name)
        is_other = known is not None and (known.request, known.response) != (request, response)
        made = UpdateDefinition(name, None, None)
        self.updates[name] = made if is_other else UpdateDefinition(name, request, response)

    def add_workflow(self, definition: WorkflowDefinition) -> None:
        """Register a workflow; see `_refuse_double` for what a taken name means."""
        known = self.workflows.get(definition.name)
        _refuse_double("workflow", known, definition)
        if known is not None:
            self._replace("workflow", definition.name, known.fn, definition.fn)
            del known
        self.workflows[definition.name] = definition
        self._check("workflow", definition.name)
        self.announce()

    def add_actor(self, definition: ActorDefinition) -> None:
        """Register a class of actors."""
        known = self.actors.get(definition.name)
        if known is not None and identity_of(known.cls) != identity_of(definition.cls):
            raise RegistrationError(
                f"two different classes are registered as actor {definition.name!r}; "
                f"give one of them another name="
            )
        if known is not None:
            self._replace("actor", definition.name, known.cls, definition.cls)
            del known
        self.actors[definition.name] = definition
        self._check("actor", definition.name)
        self.announce()

    def announce(self) -> None:
        """Let engines that are open look again at the runs that the code could not go on with."""
        for listener in self.on_workflow:
            listener()

    def find_actor(self, kind: type[object]) -> ActorDefinition:
        """Return the definition of a class of actors.

        Raises:
            UnknownActor: it is not declared.
        """
        for definition in self.actors.values():
            if definition.cls is kind:
                return definition
        missing: object = getattr(kind, "not_declared", "declare the class with @actor")
        raise UnknownActor(f"{kind!r} is not an actor: {missing}")

    def add_step(self, definition: StepDefinition) -> None:
        """Register a step."""
        known = self.steps.get(definition.name)
        _refuse_double("step", known, definition)
        if known is not None:
            self._replace("step", definition.name, known.fn, definition.fn)
            del known
        # Looked at when an engine opens: until then the workflow around an older one may only
        # live because it is registered, and be replaced next.
        self.steps[definition.name] = definition

    def engine_opened(self) -> None:
        """Count an engine that may execute what is registered.

        Raises:
            RegistrationError: two live definitions of one name would do different things.
        """
        self.engines += 1
        try:
            for kind, name in list(self.replaced):
                self._check(kind, name)
        except RegistrationError:
            self.engines -= 1
            raise

    def engine_closed(self) -> None:
        """Take back one `engine_opened`."""
        self.engines -= 1

    def _replace(self, kind: str, name: str, old: Definition, new: Definition) -> None:
        """Keep track of a definition that another one of its name replaces."""
        is_elsewhere = file_of(old) != file_of(new)
        if old is not new and (is_elsewhere or "<locals>" in old.__qualname__):
            known = self.replaced.setdefault((kind, name), [])
            known[:] = [r for r in known if r() is not None and r() is not new]
            known.append(weakref.ref(old))

    def _check(self, kind: str, name: str) -> None:
        """Refuse two live definitions of one name while an engine could execute both.

        Raises:
            RegistrationError: there are two; the newer one stays registered.
        """
        if not self.engines or self._conflict(kind, name) is None:
            return
        cached_version_of.cache_clear()
        collect()
        other = self._conflict(kind, name)
        table = self._table(kind)
        if other is not None:
            current = table[name]
            raise _two_live(kind, name, other, _definition_of(current))

    def _table(
        self, kind: str
    ) -> Mapping[str, WorkflowDefinition | StepDefinition | ActorDefinition]:
        if kind == "actor":
            return self.actors
        return self.workflows if kind == "workflow" else self.steps

    def _conflict(self, kind: str, name: str) -> Definition | None:
        """Return a replaced definition that still exists and does something else."""
        found = self._table(kind).get(name)
        if found is None:
            return None
        current = _definition_of(found)
        for reference in self.replaced.get((kind, name), ()):
            other = reference()
            if other is None or other is current:
                continue
            if file_of(other) != file_of(current) or not does_the_same(other, current):
                return other
        return None

    def find_workflow(self, name: str) -> WorkflowDefinition:
        """Return the workflow of exactly this name: what is stored names one and no other.

        Raises:
            UnknownWorkflow: there is none.
        """
        found = self.workflows.get(name)
        if found is None:
            known = ", ".join(sorted(self.workflows)) or "none"
            raise UnknownWorkflow(f"no workflow named {name!r} is registered; registered: {known}")
        return found

    def workflow_asked_for(self, name: str) -> WorkflowDefinition:
        """Return the workflow that a person means: by its full name, or its end if it is unique.

        Raises:
            UnknownWorkflow: there is none, or several.
        """
        return self.workflows[_full_name("workflow", name, self.workflows, UnknownWorkflow)]

    def actor_asked_for(self, name: str) -> ActorDefinition:
        """Return the actor that a person means: by its full name, or its end if it is unique.

        Raises:
            UnknownActor: there is none, or several.
        """
        return self.actors[_full_name("actor", name, self.actors, UnknownActor)]


def _full_name(
    kind: str, name: str, known: Collection[str], refusal: type[UnknownWorkflow | UnknownActor]
) -> str:
    if name in known:
        return name
    found = sorted(full for full in known if full.endswith(f".{name}"))
    if len(found) == 1:
        return found[0]
    if found:
        raise refusal(
            f"the name {name!r} fits several {kind}s: {', '.join(found)}; give the full name"
        )
    names = ", ".join(sorted(known)) or "none"
    raise refusal(f"no {kind} named {name!r} is registered; registered: {names}")


def _definition_of(
    found: WorkflowDefinition | StepDefinition | ActorDefinition,
) -> Definition:
    return found.cls if isinstance(found, ActorDefinition) else found.fn


def _two_live(kind: str, name: str, old: Definition, new: Definition) -> RegistrationError:
    if file_of(old) != file_of(new):
        return RegistrationError(
            f"two {kind}s called {name!r} exist, of two files with one module name: "
            f"{place_of(old)} and {place_of(new)}. A stored run could not tell which one is meant. "
            f"Rename a file, put them into packages, or give each definition its own name="
        )
    return RegistrationError(
        f"two {kind}s called {name!r} exist, made at {place_of(old)} and {place_of(new)} over "
        f"different values: after a restart a stored run could not tell which one is meant. Give "
        f"each its own name=, or pass what differs as an argument"
    )


def _refuse_double(
    what: str,
    old: StepDefinition | WorkflowDefinition | None,
    new: StepDefinition | WorkflowDefinition,
) -> None:
    if old is None or identity_of(old.fn) == identity_of(new.fn):
        return
    raise RegistrationError(
        f"two different functions are registered as {what} {new.name!r}: "
        f"{'.'.join(identity_of(old.fn))} ({place_of(old.fn)}) and "
        f"{'.'.join(identity_of(new.fn))} ({place_of(new.fn)}); "
        f"give one of them another name="
    )


def module_name(fn: Function | type[object]) -> str:
    """Return the module a function belongs to; a script counts as its file's module."""
    return home_of(fn.__module__)


def identity_of(fn: Function | type[object]) -> tuple[str, str]:
    """Return what makes two registrations the same definition: module and qualified name."""
    return module_name(fn), fn.__qualname__


def given_name(what: str, name: str | None) -> str | None:
    """Return the name that the user gave to a definition.

    Raises:
        RegistrationError: it cannot be one.
    """
    if name is None:
        return None
    if not isinstance(name, str) or not 0 < len(name) <= limits.NAME_CHARS_MAX:
        raise RegistrationError(
            f"{what} is text of 1 to {limits.NAME_CHARS_MAX} characters, not {name!r}"
        )
    if name in (".", ".."):
        raise RegistrationError(f"{what} cannot be {name!r}: it has a special meaning in a URL")
    if not name.isprintable():
        raise RegistrationError(f"{what} {name!r} has characters that cannot be printed")
    return name


def default_name(fn: Function | type[object]) -> str:
    """Return a definition's name when the user gives none."""
    return ".".join(identity_of(fn)).replace(".<locals>", "")


def known_error_types(registry: Registry) -> dict[tuple[str, str], type[BaseException]]:
    """Return the closed set of error classes that may be rebuilt from a journal anywhere."""
    own = {name_of_class(c): c for c in _own_errors()}
    return {**own, **registry.known_errors}


def _own_errors() -> Iterator[type[BaseException]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, errors.OutlastError):
            yield value


def version_of(definition: WorkflowDefinition) -> str:
    """Return a short hash of the workflow's code, equal on every Python minor, plus its label.

    Comments, formatting, docstrings and decorators do not count. A built executable knows the
    hashes of the source that it was made from. Any other function without source (an interactive
    session) is hashed by its compiled code.
    """
    if definition.known_version:
        return definition.known_version
    carried = BUILT.versions.get(definition.name) if BUILT is not None else None
    digest = carried or source_hash(definition)
    return f"{definition.label}@{digest}" if definition.label else digest


cached_version_of = lru_cache(maxsize=10_000)(version_of)


def source_hash(definition: WorkflowDefinition) -> str:
    """Return the hash of a workflow's source, without its label."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(definition.fn)))
        text = _normal_form(tree.body[0])
    except (OSError, TypeError, SyntaxError, IndexError):
        code = definition.fn.__code__
        text = f"{code.co_code.hex()} {code.co_names} {code.co_varnames}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


_IGNORED_FIELDS = frozenset(("decorator_list", "type_comment", "type_params", "ctx", "kind"))


def _is_list(value: object) -> TypeGuard[list[object]]:
    """Narrow to a list of anything."""
    return isinstance(value, list)


def _normal_form(node: object) -> str:
    # Empty and unset fields are left out, since newer Pythons add such fields to old nodes.
    if _is_list(node):
        return "[" + " ".join(_normal_form(item) for item in _without_docstring(node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = [type(node).__name__]
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        if name not in _IGNORED_FIELDS and value is not None and value != []:
            parts.append(f"{name}={_normal_form(value)}")
    return "(" + " ".join(parts) + ")"


def _without_docstring(nodes: list[object]) -> list[object]:
    first = nodes[0] if nodes else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return nodes[1:]
    return nodes


default_registry = Registry()
"""Where decorators register; `Engine.open(registry=...)` may use another."""
