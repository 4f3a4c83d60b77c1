"""Whatever an exception is, it can be recorded; and it comes back as itself where that is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from outlast._codec import Failure, capture, decode_failure, encode_failure, revive
from outlast.errors import DecodingError
from outlast.limits import CAUSES_MAX, ERROR_TEXT_CHARS_MAX, TRACEBACK_CHARS_MAX
from tests.unit.codec.samples import Item


class Declined(Exception):
    def __init__(self, order: str, *, cents: int) -> None:
        super().__init__(f"{order} was declined")
        self.order = order
        self.cents = cents
        self.lock = object()


class Mute(Exception):
    @override
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Murderous(Exception):
    @override
    def __str__(self) -> str:
        raise SystemExit(3)


class NoText(Exception):
    @override
    def __str__(self) -> str:
        text: str = vars(self)["text"]
        return text


class Hostile(Exception):
    @override
    def __getattribute__(self, name: str) -> object:
        raise KeyboardInterrupt(name)


class Twisted(Exception):
    pass


def _no_args(_self: object) -> object:
    raise ValueError("no args")


# Set from here, since no type checker lets a class do it.
setattr(Twisted, "args", property(_no_args))  # noqa: B010


class Picky(Exception):
    def __new__(cls, *args: object) -> Picky:
        if args != (1, 2):
            raise TypeError("takes 1 and 2")
        return super().__new__(cls, *args)


class Disk(OSError):
    pass


class Text(str):
    __slots__ = ()

    @override
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raised(make: Callable[[], BaseException]) -> BaseException:
    try:
        raise make()
    except BaseException as error:  # noqa: BLE001 - any exception at all is the case
        return error


def cyclic() -> BaseException:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def chained(count: int) -> BaseException:
    error: BaseException = ValueError("root")
    for number in range(count):
        above = ValueError(f"{number}")
        above.__cause__ = error
        error = above
    return error


def deep_group(levels: int) -> BaseException:
    error: Exception = ValueError("leaf")
    for _ in range(levels):
        members: list[Exception] = [error]
        error = ExceptionGroup("g", members)
    return error


def without_text() -> BaseException:
    error = NoText()
    vars(error)["text"] = 3
    return error


def recursion() -> BaseException:
    def forever() -> None:
        forever()

    try:
        forever()
    except RecursionError as error:
        return error
    raise AssertionError("unreachable")


def cyclic_group() -> BaseException:
    inner = ValueError("inner")
    group = ExceptionGroup("g", [inner])
    inner.__cause__ = group
    return group


ANYTHING: list[Callable[[], BaseException]] = [
    lambda: ValueError("plain"),
    lambda: ValueError(),
    lambda: ValueError("x" * 50_000_000),
    lambda: ValueError("\ud800 lone"),
    lambda: ValueError(object(), {"a": object()}),
    lambda: ValueError(Text("a")),
    lambda: ValueError([[[1]]] * 100_000),
    lambda: Declined("7", cents=5),
    Mute,
    Murderous,
    without_text,
    Hostile,
    Twisted,
    cyclic,
    cyclic_group,
    lambda: chained(100),
    lambda: deep_group(50),
    lambda: ExceptionGroup("g", [ValueError(f"{n}") for n in range(500)]),
    lambda: BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError("a")]),
    lambda: ExceptionGroup("g", [Mute(), Declined("7", cents=1)]),
    recursion,
    MemoryError,
    KeyboardInterrupt,
    lambda: SystemExit(2),
    GeneratorExit,
    asyncio.CancelledError,
    lambda: StopIteration(3),
    lambda: OSError(2, "missing", "file"),
    lambda: Disk(2, "missing", "file"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: SyntaxError("bad", ("file", 1, 2, "text")),
    lambda: ImportError("no", name="x", path="y"),
    lambda: type("Made\ud800", (Exception,), {"__module__": 3})("x"),
    lambda: type("N" * 100_000, (Exception,), {})("x"),
]


@pytest.mark.parametrize("make", ANYTHING)
def test_any_exception_is_captured_within_the_limits(
    make: Callable[[], BaseException],
) -> None:
    failure = capture(raised(make))

    assert decode_failure(encode_failure(failure)) == failure
    assert len(failure.message) <= ERROR_TEXT_CHARS_MAX
    assert len(failure.traceback) <= TRACEBACK_CHARS_MAX
    assert len(encode_failure(failure)) < 2_000_000
    revive(failure, {})


def test_the_text_of_the_traceback_leads_to_the_line_and_its_cause() -> None:
    def broken() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    with pytest.raises(ValueError, match="second") as caught:
        broken()
    failure = capture(caught.value)

    assert 'raise KeyError("first")' in failure.traceback
    assert "KeyError: 'first'" in failure.traceback
    assert failure.traceback.endswith("ValueError: second")
    assert failure.cause is not None
    assert failure.cause.qualname == "KeyError"


def test_a_context_that_was_suppressed_is_no_cause() -> None:
    def broken() -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second") from None

    with pytest.raises(ValueError, match="second") as caught:
        broken()

    assert capture(caught.value).cause is None


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    failure = capture(ValueError("begin" + "x" * 1_000_000 + "end"))

    assert failure.message.startswith("begin")
    assert failure.message.endswith("end")
    assert "(cut)" in failure.message


def test_a_chain_of_causes_is_cut() -> None:
    failure: Failure | None = capture(chained(100))

    length = 0
    while failure is not None:
        failure, length = failure.cause, length + 1
    assert length == CAUSES_MAX


def test_lone_surrogates_of_a_message_are_replaced() -> None:
    assert capture(ValueError("a\ud800b")).message == "a?b"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a", 1),
        KeyError("k"),
        ZeroDivisionError(),
        FileNotFoundError(2, "missing", "file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        TimeoutError("late"),
    ],
)
def test_a_builtin_comes_back_as_itself(error: Exception) -> None:
    again = revive(capture(error), {})

    assert again is not None
    assert type(again) is type(error)
    assert again.args == error.args
    assert str(again) == str(error)


def test_an_error_of_the_system_keeps_its_file_name() -> None:
    again = revive(capture(FileNotFoundError(2, "missing", "file")), {})

    assert isinstance(again, FileNotFoundError)
    assert again.filename == "file"


class Full(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(28, "no space", path)


@pytest.mark.parametrize(
    "error",
    [
        Disk(5, "broken", "a", None, "b"),
        Full("file"),
        FileNotFoundError(2, "missing", Path("file")),
        OSError("only text"),
    ],
)
def test_an_error_of_the_system_of_any_class_keeps_what_it_is_about(error: OSError) -> None:
    again = revive(capture(error), {(__name__, "Disk"): Disk, (__name__, "Full"): Full})

    assert isinstance(again, OSError)
    assert type(again) is type(error)
    assert again.args == error.args
    assert (again.errno, again.strerror) == (error.errno, error.strerror)
    names = [None if name is None else str(name) for name in (error.filename, error.filename2)]
    assert [again.filename, again.filename2] == names


def test_an_import_error_keeps_the_name_and_the_path() -> None:
    again = revive(capture(ModuleNotFoundError("no", name="x", path="y")), {})

    assert isinstance(again, ModuleNotFoundError)
    assert (again.name, again.path) == ("x", "y")


class Answered(Exception):
    def __init__(self, response: object, status: int) -> None:
        super().__init__("refused")
        self.response = response
        self.status = status


def test_attributes_that_cannot_be_stored_are_named() -> None:
    failure = capture(Answered(object(), 503))

    assert failure.traceback.endswith("(attributes that cannot be stored were left out: response)")
    again = revive(failure, {(__name__, "Answered"): Answered})
    assert getattr(again, "status", None) == 503
    assert not hasattr(again, "response")
    assert "left out" not in capture(Answered("text", 503)).traceback


@dataclass(frozen=True)
class Frozen(Exception):
    item: Item
    code: int


class Slotted(Exception):
    __slots__ = ("code", "late")

    def __init__(self, code: int) -> None:
        self.code = code


class Locked(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.__dict__["code"] = code

    @override
    def __setattr__(self, name: str, value: object) -> None:
        if name not in ("__cause__", "__traceback__"):
            raise AttributeError(name)
        super().__setattr__(name, value)


KNOWN = {(cls.__module__, cls.__qualname__): cls for cls in (Declined, Mute, Picky, Disk)}


def test_a_known_class_comes_back_with_its_attributes_and_without_its_constructor() -> None:
    again = revive(capture(Declined("7", cents=5)), KNOWN)

    assert isinstance(again, Declined)
    assert (again.order, again.cents, again.args) == ("7", 5, ("7 was declined",))
    assert str(again) == "7 was declined"
    assert not hasattr(again, "lock")


def test_a_note_and_the_cause_come_back() -> None:
    error = Declined("7", cents=5)
    error.add_note("seen twice")
    error.__cause__ = ValueError("because")

    again = revive(capture(error), KNOWN)

    assert again is not None
    assert again.__notes__ == ["seen twice"]
    assert isinstance(again.__cause__, ValueError)


def test_an_unknown_class_does_not_come_back() -> None:
    assert revive(capture(Declined("7", cents=5)), {}) is None


def test_a_class_comes_back_whatever_its_constructor_and_setattr_refuse() -> None:
    for error in (Picky(1, 2), Frozen(Item("a"), 7), Slotted(3), Locked(code=4)):
        known: dict[tuple[str, str], type[BaseException]] = {
            (type(error).__module__, type(error).__qualname__): type(error)
        }

        again = revive(decode_failure(encode_failure(capture(error))), known)

        assert again is not None
        assert (type(again), again.args) == (type(error), error.args)
        for name in ("item", "code", "late"):
            assert getattr(again, name, None) == getattr(error, name, None)


def test_a_frozen_dataclass_gets_its_cause_back() -> None:
    known: dict[tuple[str, str], type[BaseException]] = {(__name__, "Frozen"): Frozen}
    try:
        raise Frozen(Item("a"), 7) from KeyError("k")
    except Frozen as error:
        again = revive(capture(error), known)

    assert isinstance(again, Frozen)
    assert isinstance(again.__cause__, KeyError)


def test_an_exception_whose_arguments_cannot_be_stored_does_not_come_back() -> None:
    assert revive(capture(ValueError(object())), {}) is None


def test_a_group_comes_back_with_all_its_members_or_not_at_all() -> None:
    group = ExceptionGroup("two (2 things)", [ValueError("a"), Declined("7", cents=1)])

    again = revive(capture(group), KNOWN)

    assert again is not None
    assert f"{again!r}" == f"{group!r}"
    assert revive(capture(group), {}) is None


def test_the_members_of_a_group_are_in_its_text() -> None:
    text = capture(ExceptionGroup("g", [ValueError(f"no {n}") for n in range(500)])).traceback

    assert "ValueError: no 0" in text
    assert "ValueError: no 9" in text


class Interrupt(KeyboardInterrupt):
    pass


class Cancelled(asyncio.CancelledError):
    pass


CONTROL: list[type[BaseException]] = [
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    StopIteration,
    Interrupt,
    Cancelled,
]


@pytest.mark.parametrize("cls", CONTROL)
def test_what_would_stop_a_process_never_comes_back_as_itself(cls: type[BaseException]) -> None:
    known = {(cls.__module__, cls.__qualname__): cls}
    group = BaseExceptionGroup("g", [cls(), ValueError()])

    assert revive(capture(cls()), known) is None
    assert revive(capture(cls()), {}) is None
    assert revive(capture(group), known) is None


@pytest.mark.parametrize("name", ["eval", "__import__", "object", "open", "Exception.mro", ""])
def test_a_name_that_is_no_exception_is_not_looked_up(name: str) -> None:
    failure = Failure("builtins", name, "x", args=capture(ValueError("1")).args)

    assert revive(failure, {}) is None


def test_no_module_is_imported_by_name() -> None:
    failure = Failure("os", "error", "x", args=capture(ValueError(1)).args)

    assert revive(failure, {}) is None


@dataclass
class Facts:
    x: int


def test_args_that_cannot_be_stored_leave_the_text() -> None:
    failure = capture(ValueError(Facts(1)))

    assert failure.args is None
    assert "Facts(x=1)" in failure.message


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x91" * 100_000, b"\xc0", b"\xa1\xff"])
def test_bytes_that_are_no_failure_are_an_error_of_decoding(data: bytes) -> None:
    with pytest.raises(DecodingError):
        decode_failure(data)
