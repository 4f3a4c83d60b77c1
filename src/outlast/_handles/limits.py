"""`engine.limits`: what programs declare that others allow, and what waits for it.

engine.limits.provider("openai", rpm=500, tpm=200_000, fair_by="tenant")
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from outlast._engine.open_engine import EngineCore
from outlast._engine.providers.declared import DeclaredLimits, ProviderLimit
from outlast._engine.providers.queue import unused
from outlast.errors import EngineClosed, StoreReadOnly
from outlast.types import ProviderInfo


class Limits:
    """The limits that the agents of an engine, or of a program, keep to."""

    __slots__ = ("_declared", "_infos")

    def __init__(
        self,
        declared: DeclaredLimits,
        infos: Callable[[], list[ProviderInfo] | None] = lambda: None,
    ) -> None:
        self._declared = declared
        self._infos = infos

    def provider(
        self,
        name: str,
        *,
        rpm: int | None = None,
        tpm: int | None = None,
        fair_by: str | None = None,
    ) -> None:
        """Declare what a provider of models allows, or replace it; it holds from the next request.

        All requests of durable agents to this provider wait for their turns in one queue. In no
        minute more than `rpm` of them are sent, also across a crash of this process. They are
        spread: about what 10 seconds bring, and at least 10 requests, may be sent at once. Tokens
        are estimated before a request and counted after it.

        Args:
            name: what `Durability(provider=...)` of an agent says; for agents that say nothing,
                the name of a model ("openai:gpt-5"), or of a provider ("openai").
            rpm: requests a minute.
            tpm: tokens a minute, of input and output together.
            fair_by: the attribute of runs by which requests share the minute alike: as much for
                the tenant with one as for the tenant with a thousand. An actor without it is a
                tenant of its own; runs without it are one tenant.

        Raises:
            UsageError: the limits make no sense.
        """
        self._declared.declare(ProviderLimit(name, rpm, tpm, fair_by))

    def providers(self) -> list[ProviderInfo]:
        """Return the providers with limits: how many requests wait, and what was used."""
        found = self._infos()
        return [unused(limit) for limit in self._declared.all()] if found is None else found


class LimitVerbs(ABC):
    """The limits of an open engine."""

    _limits: DeclaredLimits

    @property
    @abstractmethod
    def _core(self) -> EngineCore:
        """The engine; EngineClosed or StoreReadOnly where there is none."""

    @property
    def limits(self) -> Limits:
        """What the agents of this engine keep to; declare it before opening, or at any time."""
        return Limits(self._limits, self._infos)

    def _infos(self) -> list[ProviderInfo] | None:
        try:
            return self._core.provider_queues.infos()
        except (EngineClosed, StoreReadOnly):
            return None
