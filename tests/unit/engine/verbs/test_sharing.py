"""A file that two engines use: every verb of the one that does not own it, and who is woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from outlast import (
    Actor,
    ActorParked,
    Child,
    Engine,
    HandlerFailed,
    MailboxFull,
    Run,
    RunExists,
    RunFailed,
    RunNotFound,
    RunParked,
    RunTerminated,
    Signal,
    SignalConflict,
    StoreLocked,
    StoreUnavailable,
    Stream,
    Supervisor,
    TokenAnswered,
    Topic,
    Update,
    UpdateRejected,
    UsageError,
    Value,
    actor,
    handler,
    limits,
    step,
    wf,
    workflow,
)
from outlast._engine.verbs.sharing import Sharing
from outlast._records import Record
from outlast._store.glimpses import WHOLE, Part
from outlast._store.rows import Message
from outlast._store.sqlite.shared import SharedSqliteStore
from outlast._store.transactions import CommitId, Effects, Transaction
from outlast.types import RunId, Status, TokenInfo

T = TypeVar("T")

go = Signal("shared-go", int)
words = Stream("shared-words", str)
progress = Value("shared-progress", int)
amend = Update("shared-amend", int, int)
news = Topic("shared-news", str)


@dataclass
class Price:
    """A class that only its codec brings back."""

    cents: int
    notes: dict[str, bytes] = field(default_factory=dict[str, bytes])


word = Signal("shared-word", str)


@workflow
async def hears_words() -> str:
    return await word.receive()


@step
async def doubled(price: Price) -> Price:
    return Price(2 * price.cents, price.notes)


@workflow
async def priced(price: Price) -> Price:
    return await doubled(price)


@workflow
async def breaks() -> int:
    raise LookupError("nothing here")


@workflow
async def waits() -> int:
    await progress.set(1)
    return await go.receive()


@workflow
async def amended() -> int:
    given = list[int]()

    @amend.handler
    async def take(n: int) -> int:
        given.append(n)
        return sum(given)

    @amend.validator
    def check(n: int) -> None:
        if n < 0:
            raise ValueError("negative")

    await go.receive()
    return sum(given)


@workflow
async def speaks() -> int:
    await words.write("a")
    await go.receive()
    await words.write("b")
    return 2


@workflow
async def asks() -> bool:
    return (await wf.approve("ok?")).approved


@dataclass
class Count:
    n: int = 0
    heard: list[str] = field(default_factory=list[str])


@actor
class SharedCounter(Actor[Count]):
    @handler
    async def add(self, n: int = 1) -> int:
        self.state.n += n
        return self.state.n

    @handler
    async def fail(self) -> int:
        raise KeyError("gone")

    @handler
    async def take(self, text: str) -> None:
        self.state.heard.append(text)

    @handler
    async def heard(self) -> list[str]:
        return self.state.heard


@actor(mailbox=1, overflow="reject")
class SharedNarrow(Actor[Count]):
    @handler
    async def wait(self) -> object:
        return await wf.get("gate").result()


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "outlast.db") as engine:
        yield engine


@pytest.fixture
async def engine(owner: Engine, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine that shares the file that `owner` owns."""
    async with Engine.open(tmp_path / "outlast.db", share=True) as engine:
        assert not store_of(engine).owns
        yield engine


def store_of(engine: Engine) -> SharedSqliteStore:
    store = engine._core.store
    assert isinstance(store, SharedSqliteStore)
    return store


async def until(find: Callable[[], Awaitable[T]]) -> T:
    """Look again and again for what another engine does, until it is there."""
    for _ in range(3_000):
        if found := await find():
            return found
        await asyncio.sleep(0.01)
    raise TimeoutError(find)


async def standing(run: Run[object], status: Status) -> bool:
    return (await run.info()).status == status


async def test_a_run_is_started_and_its_result_comes_back_as_it_is(engine: Engine) -> None:
    price = Price(5, {"é": b"\x00\xff"})
    run = await engine.start(priced(price), id="p")
    assert run.created
    assert await run.result(timeout="30s") == Price(10, price.notes)
    again = await engine.start(priced(price), id="p")
    assert not again.created
    assert await again.result() == Price(10, price.notes)


async def test_errors_are_those_of_an_engine(engine: Engine) -> None:
    with pytest.raises(RunFailed, match="nothing here") as failed:
        await engine.run(breaks(), id="b")
    assert failed.value.type_name == "LookupError"
    await engine.start(waits(), id="w")
    with pytest.raises(RunExists):
        await engine.start(waits(), id="w", on_conflict="fail")
    with pytest.raises(RunNotFound):
        await engine.get("none").signal(go, 1)
    await engine.get("w").signal(go, 1, dedup="k")
    with pytest.raises(SignalConflict):
        await engine.get("w").signal(go, 2, dedup="k")


async def test_signals_values_and_streams_reach_both_sides(engine: Engine, owner: Engine) -> None:
    run = await engine.start(speaks(), id="s")
    events = [event async for event in _events(run)]
    assert events == ["a", "b"]
    run = await engine.start(waits(), id="w")
    await until(lambda: run.read(progress))
    assert await run.read(progress) == 1
    await run.signal(go, 7)
    assert await owner.get("w", waits).result(timeout="30s") == 7


async def _events(run: Run[int]) -> AsyncIterator[str]:
    async with asyncio.timeout(30):
        async for event in run.stream(words):
            if event.kind == "data":
                yield event.value or ""
                if event.value == "a":
                    await run.signal(go, 1)


async def test_updates_are_answered_and_refused(engine: Engine) -> None:
    run = await engine.start(amended(), id="u")
    assert await run.update(amend, 3, timeout="30s") == 3
    assert await run.update(amend, 4, id="four", timeout="30s") == 7
    assert await run.update(amend, 4, id="four", timeout="30s") == 7
    with pytest.raises(UpdateRejected, match="negative"):
        await run.update(amend, -1, timeout="30s")
    await run.signal(go, 1)
    assert await run.result(timeout="30s") == 7


async def test_actors_are_asked_and_told(engine: Engine, owner: Engine) -> None:
    mine = engine.actor(SharedCounter, "a")
    theirs = owner.actor(SharedCounter, "a")
    assert await mine.ask(SharedCounter.add, 2) == 2
    await mine.tell(SharedCounter.add, 3)
    assert await theirs.ask(SharedCounter.add, 1) == 6
    assert await mine.options(dedup="once").ask(SharedCounter.add, 1) == 7
    assert await mine.options(dedup="once").ask(SharedCounter.add, 1) == 7
    with pytest.raises(HandlerFailed, match="gone"):
        await mine.ask(SharedCounter.fail)
    assert (await engine.actor_info(SharedCounter, "a")).key == "a"


async def test_a_full_mailbox_refuses(engine: Engine) -> None:
    narrow = engine.actor(SharedNarrow, "n")
    await engine.start(waits(), id="gate")
    with pytest.raises(MailboxFull):
        await asyncio.gather(*(narrow.tell(SharedNarrow.wait) for _ in range(4)))
    await engine.get("gate").signal(go, 1)


async def test_a_run_that_reads_no_signals_refuses_them(
    engine: Engine, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SIGNALS_BUFFERED_MAX", 3)
    run = await owner.start(hears_words(), id="deaf")
    shared = engine.get("deaf")

    for number in range(3):
        await shared.signal(go, number, dedup=f"{number}")

    with pytest.raises(MailboxFull, match="has 3 unread"):
        await shared.signal(go, 3)
    with pytest.raises(MailboxFull, match="has 3 unread"):
        await run.signal(go, 3)
    await run.terminate("heard enough")


async def test_signals_under_keys_read_only_what_the_journal_has_got_since(
    engine: Engine, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await owner.start(hears_words(), id="keys")
    store, read = store_of(engine), list[int]()
    read_journal = store.read_journal

    async def counted(
        run: RunId, after: int = 0, upto: int | None = None, part: Part = WHOLE
    ) -> list[Record]:
        found = await read_journal(run, after, upto, part)
        read.append(len(found))
        return found

    monkeypatch.setattr(store, "read_journal", counted)
    shared = engine.get("keys")
    for number in range(20):
        await shared.signal(go, number, dedup=f"{number}")
    await shared.signal(go, 3, dedup="3")
    with pytest.raises(SignalConflict):
        await shared.signal(go, 4, dedup="3")

    async def signals() -> int:
        records = await read_journal(RunId("keys"))
        return sum(record.kind == "signal" for record in records)

    async def all_taken() -> bool:
        return await signals() >= 20

    await until(all_taken)  # the owner takes them from the mailbox in its own time
    assert await signals() == 20
    assert sum(read) < 40  # 20 signals, each once, and a few more
    await run.terminate("heard enough")


async def test_a_key_of_an_earlier_life_is_none_of_the_present_one(
    engine: Engine, owner: Engine
) -> None:
    shared = engine.get("lives")
    for _ in range(2):
        run = await owner.start(hears_words(), id="lives")
        await shared.signal(go, 1, dedup="1")
        await shared.signal(go, 2, dedup="2")
        await shared.signal(go, 1, dedup="1")
        with pytest.raises(SignalConflict):
            await shared.signal(go, 3, dedup="2")
        signals = [record async for record in run.journal() if record.kind == "signal"]
        assert len(signals) == 2
        await run.terminate("heard enough")


async def test_topics_and_teams_are_the_owner_s(engine: Engine) -> None:
    ref = engine.actor(SharedCounter, "listener")
    await engine.subscribe(news, ref, SharedCounter.take)
    await engine.publish(news, "one")
    assert await until(lambda: ref.ask(SharedCounter.heard)) == ["one"]
    applied = await engine.apply(Supervisor("crew", children=[Child(SharedCounter, key="c")]))
    assert applied.started
    assert [team.id async for team in engine.teams()] == ["outlast.Supervisor/crew"]


async def tokens(engine: Engine) -> list[TokenInfo]:
    return [token async for token in engine.tokens()]


async def test_questions_are_answered_once(engine: Engine) -> None:
    run = await engine.start(asks(), id="q")
    token = (await until(lambda: tokens(engine)))[0]
    await engine.approve(token.id, by="ann")
    with pytest.raises(TokenAnswered):
        await engine.reject(token.id, by="bob")
    assert await run.result(timeout="30s") is True


async def test_operators_verbs_have_taken_effect_when_they_return(engine: Engine) -> None:
    run = await engine.start(waits(), id="w")
    await until(lambda: standing(run, "waiting"))
    await run.pause()
    assert await until(lambda: standing(run, "paused"))
    await run.resume()
    assert await until(lambda: standing(run, "waiting"))
    await run.terminate("enough")
    with pytest.raises(RunTerminated, match="enough"):
        await run.result(timeout="30s")
    await run.retry()
    assert (await run.info()).status in ("pending", "running", "waiting")
    fork = await run.fork(2)
    await fork.signal(go, 9)
    assert await fork.result(timeout="30s") == 9
    assert (await run.fork_plan(2)).seq == 2


async def test_a_run_that_is_to_start_later_is_ended_at_once(engine: Engine) -> None:
    run = await engine.start(waits(), id="later", delay="1h")
    await run.cancel("no more")
    assert (await run.info()).status == "cancelled"


async def test_what_is_parked_says_so_to_who_waits(engine: Engine, owner: Engine) -> None:
    run = await engine.start(waits(), id="w")
    await until(lambda: standing(run, "waiting"))
    owner._core.scheduler.run_parked(run.id, "for a test")  # type: ignore[arg-type]  # a run's id
    with pytest.raises(RunParked):
        await run.result(timeout="30s")


async def test_bulk_counts_and_dead_letters(engine: Engine) -> None:
    for n in range(3):
        await engine.start(waits(), id=f"w{n}")
    assert await engine.count("workflow:waits") == 3
    done = [outcome async for outcome in engine.bulk("terminate", "workflow:waits")]
    assert sorted(outcome.id for outcome in done) == ["w0", "w1", "w2"]
    for run in ("w0", "w1", "w2"):
        with pytest.raises(RunTerminated):
            await engine.get(run).result(timeout="30s")


async def test_a_third_engine_shares_too(engine: Engine, tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "outlast.db", share=True) as third:
        one, two = await asyncio.gather(
            engine.run(priced(Price(1)), id="x"), third.run(priced(Price(2)), id="y")
        )
        assert (one.cents, two.cents) == (2, 4)
        assert await third.get("x", priced).result() == Price(2)


async def test_when_the_owner_closes_another_engine_goes_on(
    engine: Engine, owner: Engine, tmp_path: Path
) -> None:
    run = await engine.start(waits(), id="w")
    await until(lambda: standing(run, "waiting"))
    result = asyncio.create_task(run.result(timeout="30s"))
    await owner.__aexit__(None, None, None)
    await run.signal(go, 5)  # there may be no owner just now
    assert await result == 5
    assert store_of(engine).owns
    assert await engine.run(priced(Price(3)), id="after") == Price(6)
    async with Engine.open(tmp_path / "outlast.db", share=True) as third:
        assert not store_of(third).owns
        assert await third.run(priced(Price(4)), id="third") == Price(8)


async def test_the_first_one_owns_the_file(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path, share=True) as first:
        assert store_of(first).owns
        with pytest.raises(StoreLocked):
            async with Engine.open(path):
                pass
    async with Engine.open(path):
        pass


def test_reading_needs_no_sharing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="share=True"):
        Engine.open(tmp_path / "outlast.db", share=True, read_only=True)


async def test_a_memory_store_is_shared_anyway() -> None:
    async with (
        Engine.open("memory://shared", share=True) as one,
        Engine.open("memory://shared", share=True) as two,
    ):
        await one.start(waits(), id="w")
        await two.get("w").signal(go, 1)
        assert await two.get("w", waits).result(timeout="30s") == 1


async def test_a_commit_that_was_asked_for_in_vain_is_never_made(owner: Engine) -> None:
    core = owner._core
    sharing = Sharing(core.scheduler, core.messages)
    await owner.start(waits(), id="w")
    late = Message(run=RunId("w"), kind="signal", name="shared-go", body=b"1", at=1)
    batch = [Transaction(None, RunId("w"), [], Effects(posts=(late,)))]

    assert await sharing.outcome_of(CommitId("other", 1)) is None
    with pytest.raises(StoreUnavailable, match="given up"):
        await sharing.commit(CommitId("other", 1), batch)
    assert await core.store.read_mailbox(RunId("w"), 9) == []

    [receipt] = await sharing.commit(CommitId("other", 2), batch)
    assert await sharing.commit(CommitId("other", 2), batch) == [receipt]
    assert await sharing.outcome_of(CommitId("other", 2)) == [receipt]


async def test_a_process_that_shares_writes_no_records(owner: Engine) -> None:
    core = owner._core
    sharing = Sharing(core.scheduler, core.messages)
    lease = core.scheduler.leases[0]
    with pytest.raises(UsageError, match="no records"):
        await sharing.commit(CommitId("other", 1), [Transaction(lease, RunId("w"), [])])


async def test_an_ask_of_a_parked_actor_is_told(engine: Engine, owner: Engine) -> None:
    mine = engine.actor(SharedCounter, "p")
    assert await mine.ask(SharedCounter.add) == 1
    inactive = owner._core.inactive_runs
    async with asyncio.timeout(20):
        is_parked = False
        while not is_parked:  # a late word of its mail may have brought it back to memory
            is_parked = await inactive.park(RunId(mine.id), "for a test", "attempts")
            await asyncio.sleep(0)
    with pytest.raises(ActorParked, match="for a test"):
        await asyncio.wait_for(mine.ask(SharedCounter.add), 20)
