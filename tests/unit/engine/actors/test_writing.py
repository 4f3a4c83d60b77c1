"""Writing to actors: deadlines, copies of messages, senders that gave up, actors that stopped."""

from __future__ import annotations

import asyncio

from outlast import Actor, Engine, actor
from outlast._engine.open_engine import EngineCore
from outlast._handles.actor_ref import ActorRef
from outlast._messages.letters import Letter, encode_letter
from outlast._registry import default_registry
from outlast._store.rows import Message
from outlast.errors import ActorStopped, RunNotFound
from outlast.testing.machines import FaultPlan, Yard
from outlast.types import RunId
from tests.unit.actors.kept import Hot, Kept, gates
from tests.unit.actors.patient import Patient, Seen, patient_gates


async def test_a_deadline_is_counted_from_when_the_handler_sends(engine: Engine) -> None:
    kept = engine.actor(Kept, "a")
    await kept.ask(Kept.add, "x")
    await asyncio.sleep(0.05)

    await kept.ask(Kept.tell_soon, "b")

    assert await engine.actor(Kept, "b").ask(Kept.add, "then") == 2
    assert [x async for x in engine.dead_letters()] == []


async def test_a_durable_actor_tells_one_in_memory(engine: Engine) -> None:
    await engine.actor(Kept, "a").ask(Kept.tell_hot)

    assert await engine.actor(Hot, "hot").ask(Hot.add, "then") == 2


async def are_waiting(engine: Engine, count: int) -> bool:
    try:
        return (await engine.actor_info(Kept, "a")).waiting == count
    except RunNotFound:
        return False


async def test_who_waits_for_an_actor_that_is_stopped_is_told(engine: Engine) -> None:
    gates[:] = [asyncio.Event()]
    kept = engine.actor(Kept, "a")
    asks = [asyncio.ensure_future(kept.ask(Kept.add_after, f"{n}")) for n in range(3)]
    async with asyncio.timeout(30):
        while not await are_waiting(engine, 3):  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)

    await engine.get(kept.id).terminate("enough")

    for found in await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 30):
        assert isinstance(found, ActorStopped)
    assert (await engine.actor_info(Kept, "a")).status == "completed"


async def test_a_message_whose_sender_gave_up_is_delivered(engine: Engine) -> None:
    kept = engine.actor(Kept, "a")
    await kept.ask(Kept.add, "x")
    for number in range(20):
        sending = asyncio.ensure_future(kept.tell(Kept.add, f"{number}"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])

    lines = await kept.options(timeout="30s").ask(Kept.add, "end")

    assert lines == len(await kept.ask(Kept.all))
    assert (await engine.actor_info(Kept, "a")).waiting == 0


@actor(mailbox=1, overflow="dead_letter")
class Small(Patient, Actor[Seen]):
    """Has room for one."""


async def test_a_copy_of_what_was_handled_is_no_dead_letter(engine: Engine) -> None:
    patient_gates[:] = [asyncio.Event()]
    small = engine.actor(Small, "s")
    assert await small.options(dedup="k").ask(Small.take, 1) == [1]
    await small.tell(Small.take_after_the_gate, 2)
    await small.tell(Small.take, 3)

    # As sent by one who looked for an outcome just before there was one.
    found = default_registry.find_actor(Small).handlers["take"]
    args = found.signature.encode(found.signature.bind((1,), {}))
    letter = encode_letter(Letter(args=args))
    copy = Message(run=RunId(small.id), kind="tell", name="take", body=letter, dedup="k")
    await engine._core.actors._commit(copy, None)
    patient_gates[0].set()

    assert await small.options(dedup="k").ask(Small.take, 1) == [1]
    assert [letter async for letter in engine.dead_letters()] == []


def test_who_asks_an_actor_of_another_engine_is_told_that_it_stopped() -> None:
    plan = FaultPlan(slow=0.0)
    yard = Yard(1, registry=default_registry, plan=plan, machines=2, shards=2)

    def patient(core: EngineCore) -> ActorRef[Patient]:
        return ActorRef(default_registry.find_actor(Patient), "p", core)

    async def stop(core: EngineCore) -> None:
        await patient(core).tell(Patient.stop_soon)

    async def ask(core: EngineCore) -> list[int]:
        return await patient(core).ask(Patient.take, 1)

    async def work() -> None:
        for machine in yard.machines:
            await yard.start(machine, shards_max=1)
            await yard.core(machine)
        await yard.attempt(stop, yard.machines[0])
        asks = [yard.attempt(ask, machine) for machine in yard.machines]
        for found in await asyncio.gather(*asks, return_exceptions=True):
            assert isinstance(found, ActorStopped)

    try:
        yard.run(work, seconds_max=60)
    finally:
        yard.dispose()
