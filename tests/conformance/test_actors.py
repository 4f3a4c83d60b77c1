"""What stores keep for actors: their rows, bounded mailboxes, dead letters."""

from __future__ import annotations

import msgspec

from outlast._store.contract import RunFilter, Store
from outlast._store.decisions import dead_letter
from outlast._store.rows import DONE, JOIN, Message, MessageKind
from outlast._store.transactions import Effects, Transaction
from outlast.types import RunId
from tests.conformance.driving import OTHER, RUN, Driver, record, records, segment, signal, the


def tell(body: bytes = b"1", *, bound: int = 0, run: RunId = RUN) -> Message:
    return Message(run=run, kind="tell", name="add", body=body, at=5, bound=bound)


async def start_actor(engine: Driver, run: RunId) -> None:
    row = msgspec.structs.replace(engine.row(run), kind="actor", resident=False)
    await engine.receipt(engine.starting(row, first=()))


async def test_actors_are_listed_apart_from_workflows(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await start_actor(engine, OTHER)

    runs = await store.list_runs(RunFilter(), None, 10)
    actors = await store.list_runs(RunFilter(kind="actor"), None, 10)

    assert [row.id for row in runs] == [RUN]
    assert [(row.id, row.kind) for row in actors] == [(OTHER, "actor")]


async def test_an_actors_mailbox_is_bounded_by_its_messages(store: Store, engine: Driver) -> None:
    await start_actor(engine, RUN)

    first = await engine.post(tell(bound=2), tell(bound=2), tell(bound=2))
    more = await engine.post(tell(bound=3), tell(bound=3), tell())

    assert first.posts == ("accepted", "accepted", "full")
    assert more.posts == ("accepted", "full", "accepted")
    assert [m.bound for m in await store.read_mailbox(RUN, 10)] == [2, 2, 3, 0]


async def test_a_folded_actor_keeps_its_state_and_no_records(store: Store, engine: Driver) -> None:
    await start_actor(engine, RUN)
    await engine.receipt(engine.on(RUN, record(1), record(2)))
    row = msgspec.structs.replace(
        await engine.current(RUN), output=b"state", last_seq=2, packed_seq=2, folded_seq=2
    )

    await engine.summarise(row)
    await engine.receipt(engine.on(RUN, record(3)))

    assert (await engine.current(RUN)).output == b"state"
    assert (await engine.current(RUN)).folded_seq == 2
    for after in range(3):
        assert [r.seq for r in await store.read_journal(RUN, after)] == [3]
    assert await store.read_journal(RUN, 0, 2) == []
    assert the(list((await store.read_tail(engine.shards)).values())).records == [record(3)]


async def test_dead_letters_are_kept_until_they_are_sent_again(
    store: Store, engine: Driver
) -> None:
    await start_actor(engine, RUN)
    await start_actor(engine, OTHER)
    numbers = (await engine.post(tell(b"bad"), tell(b"worse"), tell(run=OTHER))).numbers
    mail = await store.read_mailbox(RUN, 10)
    letters = [dead_letter(m, "failed", at=9, error="E: no", attempts=3) for m in mail]
    burying = engine.on(RUN)
    burying.also.consumed, burying.also.dead = numbers[:2], tuple(letters)
    await engine.receipt(burying)

    assert await store.read_mailbox(RUN, 10) == []
    assert await store.read_dead(None, 0, 10) == letters
    assert await store.read_dead(RUN, letters[0].number, 10) == letters[1:]
    assert await store.read_dead(OTHER, 0, 10) == []

    again = engine.posting(tell(b"bad"))
    again.also.redriven = (letters[0].number,)
    await engine.receipt(again)

    assert await store.read_dead(None, 0, 10) == letters[1:]
    assert [m.body for m in await store.read_mailbox(RUN, 10)] == [b"bad"]


async def test_a_dead_letter_stays_when_it_is_not_taken(store: Store, engine: Driver) -> None:
    await start_actor(engine, RUN)
    numbers = (await engine.post(tell(b"bad"))).numbers
    [message] = await store.read_mailbox(RUN, 10)
    burying = engine.on(RUN)
    burying.also.consumed, burying.also.dead = numbers, (dead_letter(message, "failed", at=9),)
    await engine.receipt(burying)
    await engine.close_run(RUN)

    again = engine.posting(tell(b"bad"))
    again.also.redriven = numbers
    receipt = await engine.receipt(again)

    assert receipt.posts == ("closed",)
    assert [letter.number for letter in await store.read_dead(RUN, 0, 10)] == list(numbers)


async def test_what_a_run_had_not_read_is_a_dead_letter(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await engine.post(signal(RUN, body=b"7", dedup="k"))

    await engine.close_run(RUN)

    letter = the(await store.read_dead(RUN, 0, 10))
    assert (letter.reason, letter.kind, letter.name) == ("closed", "signal", "paid")
    assert (letter.body, letter.dedup, letter.sent_at) == (b"7", "k", 5)


async def test_a_request_that_a_run_had_not_seen_is_over_with_it(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN)
    kinds: tuple[MessageKind, ...] = ("cancel", "terminate", "pause", "resume", "child_done")
    requests = [msgspec.structs.replace(signal(RUN), kind=kind) for kind in kinds]
    await engine.post(*requests, signal(RUN))

    await engine.close_run(RUN)

    assert [letter.kind for letter in await store.read_dead(RUN, 0, 10)] == ["signal"]
    assert await store.read_mailbox(RUN, 10) == []


async def test_a_run_that_takes_an_id_leaves_the_dead_letters_of_the_one_before(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN)
    await engine.post(signal(RUN, body=b"7", dedup="k"))
    await engine.close_run(RUN)

    await engine.commit(engine.starting(engine.row(RUN, created_at=9), reuse="always"))

    letter = the(await store.read_dead(RUN, 0, 10))
    assert (letter.reason, letter.body) == ("closed", b"7")


async def test_values_are_read_by_prefix_and_can_be_forgotten(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    first, second = engine.on(RUN), engine.on(RUN)
    first.also.values = (("done/a", b"1"), ("done/b", b"2"), ("done0", b"3"), ("other", b"4"))
    second.also.values = (("done/a", None), ("done/c", b"5"), ("gone", None))

    await engine.commit(first, second)

    assert await store.read_values(RUN, "done/") == {"done/b": b"2", "done/c": b"5"}
    assert await store.read_values(RunId("nobody"), "") == {}


async def test_a_pruned_run_takes_its_dead_letters_along(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await engine.post(signal(RUN))
    await engine.close_run(RUN, closed_at=2_000)

    assert await store.prune(3_000, 10) == 1

    assert await store.read_dead(None, 0, 10) == []


async def test_what_a_commit_tells_a_stopped_actor_is_a_dead_letter(
    store: Store, engine: Driver
) -> None:
    await start_actor(engine, OTHER)
    closed = msgspec.structs.replace(await engine.current(OTHER), status="completed", closed_at=9)
    await engine.summarise(closed)
    await engine.start(RUN)
    sent = tell(run=OTHER)
    notice = msgspec.structs.replace(sent, kind="notice")
    commit = engine.on(RUN, record(2))
    commit.also.posts = (sent, notice)

    receipt = await engine.receipt(commit)
    outside = await engine.post(sent)

    assert receipt.posts == ("closed", "closed")
    assert outside.posts == ("closed",)
    letter = the(await store.read_dead(OTHER, 0, 10))
    assert (letter.reason, letter.name, letter.body) == ("stopped", "add", b"1")


async def test_who_takes_an_actor_in_reaches_it_when_it_has_stopped(
    store: Store, engine: Driver
) -> None:
    await start_actor(engine, RUN)
    closed = msgspec.structs.replace(await engine.current(RUN), status="completed", closed_at=9)
    await engine.summarise(closed)
    join = msgspec.structs.replace(tell(), name=JOIN)

    receipt = await engine.post(join)

    assert receipt.posts == ("accepted",)
    assert await store.runs_with_mail(engine.shards, 10) == [RUN]


async def test_what_has_an_outcome_under_its_key_is_not_taken_again(
    store: Store, engine: Driver
) -> None:
    await start_actor(engine, RUN)
    message = msgspec.structs.replace(tell(), dedup="k")
    numbers = (await engine.post(message)).numbers
    ending, late = engine.on(RUN), Transaction(None, RUN, [], Effects(posts=(message,)))
    ending.also.consumed, ending.also.values = numbers, ((DONE + "k", b"1"),)

    # In the batch of its end, and after it; when it is forgotten it is a new message.
    await engine.commit(ending, late)
    same = await engine.post(message, msgspec.structs.replace(message, dedup="other"))
    forgetting = engine.on(RUN)
    forgetting.also.values = ((DONE + "k", None),)
    await engine.commit(forgetting)
    again = await engine.post(message)

    assert same.posts == ("duplicate", "accepted")
    assert again.posts == ("accepted",)
    assert [m.dedup for m in await store.read_mailbox(RUN, 10)] == ["other", "k"]


async def test_what_has_an_outcome_is_a_duplicate_when_its_actor_has_stopped(
    engine: Driver,
) -> None:
    await start_actor(engine, RUN)
    ending = engine.on(RUN)
    ending.also.values = ((DONE + "k", b"1"),)
    await engine.commit(ending)
    await engine.close_run(RUN)

    late = await engine.post(msgspec.structs.replace(tell(), dedup="k"), tell())

    assert late.posts == ("duplicate", "closed")


async def test_what_was_packed_before_a_fold_is_forgotten(store: Store, engine: Driver) -> None:
    await start_actor(engine, RUN)
    await engine.receipt(engine.on(RUN, *records(1, 4)))
    packing = engine.on(RUN)
    packing.also.segments = (segment(RUN, records(1, 2)), segment(RUN, records(3, 4)))
    packing.also.folded = 2
    packing.also.summary = msgspec.structs.replace(
        await engine.current(RUN), last_seq=4, packed_seq=4, folded_seq=2
    )

    await engine.receipt(packing)

    assert [r.seq for r in await store.read_journal(RUN, 2)] == [3, 4]
    assert [r.seq for r in await store.read_journal(RUN)] == [3, 4]
    folding = engine.on(RUN)
    folding.also.folded = 4
    folding.also.summary = msgspec.structs.replace(await engine.current(RUN), folded_seq=4)
    await engine.receipt(folding)
    assert await store.read_journal(RUN, 4) == []
