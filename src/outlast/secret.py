"""A value that is never stored, and never shown.

Invariants:
  * no text of a `Secret` holds its value: `repr`, `str` and every format give `Secret(***)`;
  * nothing stores one: the codec refuses it with its path, pickle refuses it;
  * while one lives, what its value says is taken out of errors, tracebacks, logs and spans.
"""

from __future__ import annotations

from typing import Generic, NoReturn, Self, TypeVar, final

from typing_extensions import override

from outlast._wording.redaction import KnownText, know

T_co = TypeVar("T_co", covariant=True)

ADVICE = (
    "a Secret is never stored: read it inside the step that needs it, "
    "from this_step().resource(...) or from the environment"
)
"""What to do instead, said by everybody who refuses one."""


@final
class Secret(Generic[T_co]):
    """A password, a key or a token, which stays where it was made.

    `reveal()` gives the value. Nothing else does: the journal refuses a secret, wherever it
    stands in an argument, a result, a signal or a state, and so does pickle. While the object
    lives, its value, when it is text or bytes of 8 characters or more, is also taken out of
    error messages, tracebacks, log lines and spans, whoever has put it there.

    Values that code returns are not searched: a step that returns what it revealed stores it.
    """

    __slots__ = ("__weakref__", "_known", "_value")

    def __init__(self, value: T_co) -> None:
        self._value = value
        self._known: KnownText | None = know(_text_of(value))

    def reveal(self) -> T_co:
        """Return the value."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "Secret(***)"

    @override
    def __format__(self, spec: str, /) -> str:
        return format(repr(self), spec)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object, /) -> Self:
        return self

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle a Secret: {ADVICE}")


def _text_of(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
