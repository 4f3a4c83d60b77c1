from __future__ import annotations

import pytest

from outlast import limits
from outlast._store.contract import Store
from outlast._store.rows import Message, MessageKind
from outlast._store.transactions import Receipt
from outlast.types import RunId, Status
from tests.conformance.conftest import Home
from tests.conformance.driving import CLOSED, OTHER, RUN, Driver, record, signal, the

UNKNOWN = RunId("nobody")


async def bodies(store: Store, run: RunId) -> list[bytes]:
    return [message.body for message in await store.read_mailbox(run, 100)]


async def test_an_accepted_message_waits_as_it_was_sent(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    sent = Message(run=RUN, kind="child_done", name="0:x", body=b"\x00", dedup="k", at=77)

    receipt = await engine.post(sent)

    waiting = the(await store.read_mailbox(RUN, 10))
    assert receipt == Receipt(posts=("accepted",), numbers=(waiting.number,))
    assert waiting == Message(
        run=RUN, kind="child_done", name="0:x", body=b"\x00", dedup="k", at=77,
        number=waiting.number,
    )  # fmt: skip


async def test_messages_wait_in_the_order_of_their_commits(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    await engine.commit(
        engine.posting(signal(RUN, body=b"1"), signal(OTHER, body=b"9"), signal(RUN, body=b"2")),
        engine.posting(signal(RUN, body=b"3")),
    )
    await engine.post(signal(RUN, body=b"4"))

    messages = await store.read_mailbox(RUN, 100)

    assert [message.body for message in messages] == [b"1", b"2", b"3", b"4"]
    assert sorted(message.number for message in messages) == [m.number for m in messages]
    assert [m.body for m in await store.read_mailbox(RUN, 2)] == [b"1", b"2"]
    assert await bodies(store, OTHER) == [b"9"]


async def test_a_mailbox_is_read_page_by_page(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    await engine.post(*[signal(run, body=b"%d" % n) for n in range(5) for run in (RUN, OTHER)])

    read: list[bytes] = []
    after = 0
    while page := await store.read_mailbox(RUN, 2, after):
        read += [message.body for message in page]
        after = page[-1].number

    assert read == [b"0", b"1", b"2", b"3", b"4"]
    assert await store.read_mailbox(RUN, 2, after + 100) == []


async def test_runs_with_mail_are_read_page_by_page(store: Store, engine: Driver) -> None:
    runs = [RunId(f"run-{n}") for n in (3, 1, 2, 5, 4)]
    await engine.start(*runs)
    await engine.post(*[signal(run) for run in runs for _ in range(3)])

    read: list[list[RunId]] = []
    after: RunId | None = None
    while page := await store.runs_with_mail(engine.shards, 2, after):
        read.append(page)
        after = page[-1]

    assert read == [["run-1", "run-2"], ["run-3", "run-4"], ["run-5"]]


async def test_a_message_to_nobody_is_not_kept(store: Store, engine: Driver) -> None:
    assert (await engine.post(signal(UNKNOWN))).posts == ("not_found",)
    assert await bodies(store, UNKNOWN) == []


@pytest.mark.parametrize("status", CLOSED)
async def test_a_closed_run_takes_no_messages(store: Store, engine: Driver, status: Status) -> None:
    await engine.start(RUN)
    await engine.close_run(RUN, status)

    assert (await engine.post(signal(RUN))).posts == ("closed",)
    assert await bodies(store, RUN) == []


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_the_same_message_again_is_a_duplicate_and_another_a_conflict(
    store: Store, engine: Driver, is_one_batch: bool
) -> None:
    await engine.start(RUN, OTHER)
    messages = (
        signal(RUN, dedup="k"),
        signal(RUN, dedup="k"),
        signal(RUN, dedup="k", body=b"2"),
        signal(RUN, dedup="k", name="other"),
        signal(RUN, dedup="k2"),
        signal(OTHER, dedup="k", body=b"2"),
        signal(RUN),
        signal(RUN),
    )
    posts = [
        (await engine.post(message)).posts[0] for message in messages if not is_one_batch
    ] or list((await engine.post(*messages)).posts)

    assert posts == [
        "accepted", "duplicate", "conflict", "conflict", "accepted", "accepted", "accepted",
        "accepted",
    ]  # fmt: skip
    assert len(await bodies(store, RUN)) == 4


async def test_a_message_that_was_refused_has_no_number(store: Store, engine: Driver) -> None:
    await engine.start(RUN)

    receipt = await engine.post(signal(RUN, dedup="k"), signal(RUN, dedup="k"), signal(UNKNOWN))

    assert receipt.posts == ("accepted", "duplicate", "not_found")
    assert receipt.numbers[1:] == (0, 0)


async def test_a_full_mailbox_refuses_signals_and_takes_a_cancel(
    store: Store, engine: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SIGNALS_BUFFERED_MAX", 3)
    await engine.start(RUN, OTHER)
    await engine.post(signal(RUN), signal(RUN))

    receipt = await engine.post(
        signal(RUN), signal(RUN), Message(run=RUN, kind="cancel"), signal(OTHER)
    )

    assert receipt.posts == ("accepted", "full", "accepted", "accepted")
    assert (await engine.post(signal(RUN))).posts == ("full",)


async def test_a_mailbox_takes_only_so_many_bytes_of_signals(
    store: Store, engine: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SIGNALS_BUFFERED_BYTES", 10)
    await engine.start(RUN, OTHER)
    large = signal(RUN, body=b"x" * 20)
    update = Message(run=RUN, kind="update", name="u", body=b"x" * 20)

    first = await engine.post(update, signal(RUN, body=b"x" * 4))
    second = await engine.post(
        signal(RUN, body=b"x" * 6), signal(RUN, body=b"x"), signal(OTHER, body=b"x" * 9), update
    )
    numbers = (first.numbers[1], second.numbers[0])
    reading = engine.on(RUN, record(2, kind="signal"))
    reading.also.consumed = numbers
    results = await engine.commit(
        engine.posting(signal(RUN, body=b"x")),
        reading,
        engine.posting(large),
        engine.posting(large),
    )

    assert first.posts == ("accepted", "accepted")
    assert second.posts == ("accepted", "full", "accepted", "accepted")
    posts = [r.posts for r in results if isinstance(r, Receipt)]
    assert posts == [("full",), (), ("accepted",), ("full",)]


async def test_reading_a_message_makes_room_in_the_same_batch(
    store: Store, engine: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SIGNALS_BUFFERED_MAX", 2)
    await engine.start(RUN)
    numbers = (await engine.post(signal(RUN, dedup="k"), signal(RUN))).numbers
    reading = engine.on(RUN, record(2, kind="signal"))
    reading.also.consumed = (numbers[0],)

    results = await engine.commit(
        engine.posting(signal(RUN, dedup="k")),
        engine.posting(signal(RUN)),
        reading,
        engine.posting(signal(RUN, dedup="k", body=b"2")),
        engine.posting(signal(RUN)),
    )

    posts = [r.posts for r in results if isinstance(r, Receipt)]
    assert posts == [("duplicate",), ("full",), (), ("accepted",), ("full",)]


async def test_consumed_messages_are_gone_and_the_others_stay(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    numbers = (await engine.post(*[signal(RUN, body=b"%d" % n) for n in range(5)])).numbers
    await engine.post(signal(OTHER, body=b"other"))
    reading = engine.on(RUN, record(2, kind="signal"), record(3, kind="signal"))
    reading.also.consumed = (numbers[0], numbers[2])

    await engine.receipt(reading)

    assert await bodies(store, RUN) == [b"1", b"3", b"4"]
    assert await bodies(store, OTHER) == [b"other"]


async def test_a_run_cannot_consume_anothers_message(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    number = the((await engine.post(signal(OTHER))).numbers)
    reading = engine.on(RUN)
    reading.also.consumed = (number,)

    await engine.receipt(reading)

    assert len(await bodies(store, OTHER)) == 1


async def test_runs_with_mail_are_the_open_ones_that_have_some(
    store: Store, engine: Driver
) -> None:
    third = RunId("order-3")
    await engine.start(RUN, OTHER, third)
    number = the((await engine.post(signal(RUN))).numbers)
    await engine.post(signal(OTHER), signal(OTHER))
    await engine.post(signal(third))
    reading = engine.on(RUN)
    reading.also.consumed = (number,)
    await engine.receipt(reading)
    await engine.close_run(third)

    assert await store.runs_with_mail(engine.shards, 10) == [OTHER]
    assert await store.runs_with_mail(engine.shards, 0) == []
    assert await store.runs_with_mail([], 10) == []


async def test_what_a_closed_run_did_not_read_is_no_mail_of_its_successor(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN)
    await engine.post(signal(RUN, dedup="k"))
    await engine.close_run(RUN, "failed")

    await engine.receipt(engine.starting(engine.row(RUN)))

    assert await bodies(store, RUN) == []
    assert (await engine.post(signal(RUN, dedup="k", body=b"2"))).posts == ("accepted",)


async def test_numbers_ascend_even_over_an_emptied_mailbox_and_a_death(
    home: Home, store: Store
) -> None:
    engine = await Driver.begin(store)
    await engine.start(RUN)
    first = the((await engine.post(signal(RUN))).numbers)
    reading = engine.on(RUN)
    reading.also.consumed = (first,)
    await engine.receipt(reading)

    reopened = await home.open_after_a_death(store)
    later = await Driver.begin(reopened, "engine-2")

    assert the((await later.post(signal(RUN))).numbers) > first
    await reopened.close()


@pytest.mark.parametrize("kind", ["cancel", "terminate", "resume"])
async def test_a_message_of_any_kind_may_come_with_the_start(
    store: Store, engine: Driver, kind: MessageKind
) -> None:
    transaction = engine.starting(engine.row(RUN))
    transaction.also.posts = (Message(run=RUN, kind=kind),)

    receipt = await engine.receipt(transaction)

    assert receipt.posts == ("accepted",)
    assert the(await store.read_mailbox(RUN, 10)).kind == kind
