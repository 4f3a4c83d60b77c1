"""What the program, or what was given to it, is wrong about."""

from __future__ import annotations

from outlast.errors.root import OutlastError


class UsageError(OutlastError):
    """The program asks for something that cannot be; mending it means changing code."""


class NotSupported(UsageError):
    """A feature that this version of outlast does not have (yet)."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"{feature} is not supported by this version of outlast")
        self.feature = feature


class NotInRun(UsageError):
    """A verb of workflows was used where no run is executing."""


class NotDeterministic(UsageError):
    """Workflow code reached for chance, time or I/O, which replay could not repeat."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(
            f"{what} inside workflow code would give a different result when the run is "
            f"replayed; {advice}"
        )
        self.what = what
        self.advice = advice


class CallReused(UsageError):
    """A call object was awaited or started a second time."""


class RegistrationError(UsageError):
    """A step, workflow or name cannot be declared like this."""


class UnknownWorkflow(UsageError):
    """No workflow (or more than one) goes by this name here."""


class UnknownSignal(UsageError):
    """No signal of this name is declared in the code of the run; nothing was sent.

    `name` is what was given, `nearest` the declared name most like it (may be empty).
    """

    def __init__(
        self, name: str, workflow: str, *, nearest: str, declared: tuple[str, ...]
    ) -> None:
        meant = f"did you mean {nearest!r}?" if nearest else _declared_in_words(declared)
        super().__init__(
            f"the code of {workflow!r} declares no signal {name!r}, so nothing would receive it: "
            f"{meant} Nothing was sent. To send it anyway, set allow_undeclared (command line: "
            "--allow-undeclared)"
        )
        self.name = name
        self.nearest = nearest


def _declared_in_words(names: tuple[str, ...]) -> str:
    return f"it declares {', '.join(names)}." if names else "it declares no signals."


class UnknownTopic(UsageError):
    """No topic of this name is declared in the code that is here; nothing was published.

    `name` is what was given, `nearest` the declared name most like it (may be empty).
    """

    def __init__(self, name: str, *, nearest: str) -> None:
        meant = f"did you mean {nearest!r}?" if nearest else "import the module that declares it."
        super().__init__(
            f"no topic {name!r} is declared in the loaded code: {meant} Nothing was published"
        )
        self.name = name
        self.nearest = nearest


class DurationError(UsageError, ValueError):
    """Something is not a length of time; also a `ValueError`."""


class QueryError(UsageError):
    """A filter of runs does not parse."""


class QueryTooWide(QueryError):
    """A filter of runs has the store look at more than it can in the time a client has."""


class EncodingError(OutlastError):
    """A value cannot be stored; `path` leads to the part that cannot, such as `$.items[2]`.

    `faults` has the path and reason of each fault, at most twenty.
    """

    faults: tuple[tuple[str, str], ...] = ()

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot store the value at {path}: {reason}")
        self.path = path
        self.reason = reason


class PayloadTooLarge(EncodingError):
    """An encoded value is larger than the limit."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        OutlastError.__init__(
            self,
            f"{what} is {size:,} bytes when encoded, the limit is {limit:,}: "
            f"store it elsewhere (a file, an object store) and pass its address",
        )
        self.path = what
        self.reason = "too large"
        self.size = size
        self.limit = limit


class DecodingError(OutlastError):
    """Stored or outside data does not fit the declared type; `path` leads to the fault.

    `faults` has the path and reason of each fault, at most twenty.
    """

    faults: tuple[tuple[str, str], ...] = ()

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
