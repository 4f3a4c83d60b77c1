"""What a program declares that a provider allows: requests and tokens a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outlast._wording.names import check_name
from outlast.errors import UsageError

_MOST = 10**12


@dataclass(frozen=True, slots=True)
class ProviderLimit:
    """The limits of one provider's key. `rpm` and `tpm`: requests and tokens a minute."""

    name: str
    rpm: int | None
    tpm: int | None
    fair_by: str | None

    def share(self, tokens: int) -> float:
        """Return the seconds of its minute that a request with so many tokens takes."""
        of_requests = 60 / self.rpm if self.rpm else 0.0
        of_tokens = 60 * tokens / self.tpm if self.tpm else 0.0
        return max(of_requests, of_tokens)


class DeclaredLimits:
    """The limits of all providers, as one program has declared them last."""

    def __init__(self) -> None:
        self._limits: dict[str, ProviderLimit] = {}
        self.on_change: list[Callable[[str], None]] = []

    def __bool__(self) -> bool:
        return bool(self._limits)

    def declare(self, limit: ProviderLimit) -> None:
        """Set the limits of a provider, or replace them.

        Raises:
            UsageError: they are no limits.
        """
        _check(limit)
        self._limits[limit.name] = limit
        for changed in self.on_change:
            changed(limit.name)

    def get(self, name: str) -> ProviderLimit | None:
        """Return the limits of a provider, None without."""
        return self._limits.get(name)

    def all(self) -> list[ProviderLimit]:
        """Return all of them, by name."""
        return [self._limits[name] for name in sorted(self._limits)]

    def copy(self) -> DeclaredLimits:
        """Return the same limits, to be changed apart from these."""
        made = DeclaredLimits()
        made._limits.update(self._limits)
        return made


def _check(limit: ProviderLimit) -> None:
    what = f"the limits of provider {limit.name!r}"
    check_name("a provider's name", limit.name)
    if limit.rpm is None and limit.tpm is None:
        raise UsageError(f"{what} need rpm=, requests a minute, or tpm=, tokens a minute, or both")
    for name, value in (("rpm", limit.rpm), ("tpm", limit.tpm)):
        if value is not None and not (type(value) is int and 1 <= value <= _MOST):
            raise UsageError(
                f"{what}: {name}= is a whole number from 1 to {_MOST:,}, not {value!r}"
            )
    if limit.fair_by is not None:
        if not isinstance(limit.fair_by, str):
            raise UsageError(f"{what}: fair_by= is the name of an attribute, not {limit.fair_by!r}")
        check_name("the attribute of fair_by=", limit.fair_by)
