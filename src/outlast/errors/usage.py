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
            f"{what} inside workflow code gives another result when the run is replayed; {advice}"
        )
        self.what = what
        self.advice = advice


class CallReused(UsageError):
    """A call object was awaited or started a second time."""


class RegistrationError(UsageError):
    """A step, workflow or name cannot be declared like this."""


class UnknownWorkflow(UsageError):
    """No workflow (or more than one) goes by this name here."""


class DurationError(UsageError, ValueError):
    """Something is not a length of time; also a `ValueError`."""


class QueryError(UsageError):
    """A filter of runs does not parse."""


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
