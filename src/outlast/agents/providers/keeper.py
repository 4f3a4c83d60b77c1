"""The actor that keeps what is used of a provider's minute, and how a queue asks it."""

from __future__ import annotations

from outlast._actors.actor import Actor, actor, handler
from outlast._authoring.workflow import wf
from outlast._engine.open_engine import EngineCore
from outlast._engine.providers.declared import ProviderLimit
from outlast._engine.providers.queue import Admitted, Correction
from outlast._engine.remote import until_taken
from outlast._handles.actor_ref import ActorRef
from outlast._messages.actor_ids import PROVIDERS
from outlast._registry import default_registry
from outlast.agents.providers.window import WindowState


@actor(name=PROVIDERS, mailbox=1_000_000)
class Provider(Actor[WindowState]):
    """What is used of the minute of one provider."""

    @handler
    async def admit(
        self,
        limit: ProviderLimit,
        tokens: list[int],
        corrections: list[Correction],
        seconds: float,
    ) -> Admitted:
        """Record the first of the requests, as many as may be sent in so many seconds."""
        now = wf.now().timestamp()
        return self.state.admit(limit, tokens, corrections, now, send_by=now + seconds)

    @handler
    async def hold(self, until: float) -> None:
        """Let nothing be sent before that time."""
        self.state.hold(until, wf.now().timestamp())


class KeptWindow:
    """The window of one provider, as the queue of an engine asks for it."""

    def __init__(self, core: EngineCore, name: str) -> None:
        self._core = core
        definition = default_registry.find_actor(Provider)
        self._actor: ActorRef[Provider] = ActorRef(definition, name, core)

    async def admit(
        self,
        limit: ProviderLimit,
        tokens: list[int],
        corrections: list[Correction],
        seconds: float,
    ) -> Admitted:
        """Record as many of the requests as may be sent in so many seconds, in the order given."""
        provider = self._actor.options(dedup=f"admit {self._core.world.new_id()}")
        return await until_taken(
            self._core, lambda: provider.ask(Provider.admit, limit, tokens, corrections, seconds)
        )

    async def hold(self, until: float) -> None:
        """Let no request through before that time."""
        provider = self._actor.options(dedup=f"hold {self._core.world.new_id()}")
        await until_taken(self._core, lambda: provider.tell(Provider.hold, until))
