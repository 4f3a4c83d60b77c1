"""Tokens: asked in a run's own commit, answered once, closed and deleted with their run."""

from __future__ import annotations

import msgspec
import pytest

from outlast._store.contract import Store
from outlast._store.rows import Answer, Answered, Message, TokenRow
from outlast._store.transactions import CommitResult, Effects, Receipt, Transaction
from outlast.types import RunId
from tests.conformance.conftest import Home
from tests.conformance.driving import CLOSED, OTHER, RUN, Driver, record, the


def token(run: RunId = RUN, name: str = "t1", *, expires_at: int | None = None) -> TokenRow:
    return TokenRow(
        id=name,
        run=run,
        workflow="shop.orders.refund",
        key="0#1:approve",
        kind="approval",
        title="Refund?",
        detail='{"cents": 4000}',
        digest="d1",
        created_at=1_000,
        expires_at=expires_at,
    )


def answer(
    name: str = "t1", *, by: str = "ann", at: int = 2_000, digest: str = "", run: RunId = RUN
) -> Answer:
    message = Message(run=run, kind="token", name="0#1:approve", body=by.encode(), at=at)
    return Answer(
        token=name, status="answered", message=message, value=b"yes", by=by, digest=digest, at=at
    )


def expiry(name: str = "t1", *, at: int) -> Answer:
    message = Message(run=RUN, kind="token", name="0#1:approve", body=b"expired", at=at)
    return Answer(token=name, status="expired", message=message, at=at)


async def ask(engine: Driver, *tokens: TokenRow) -> None:
    transaction = engine.on(tokens[0].run, record(2, kind="token_opened"))
    transaction.also.tokens = tokens
    await engine.receipt(transaction)


def answering(*answers: Answer) -> Transaction:
    return Transaction(None, answers[0].message.run, [], Effects(answers=answers))


def given(result: CommitResult) -> tuple[Answered, ...]:
    assert isinstance(result, Receipt)
    return result.answers


async def give(engine: Driver, *answers: Answer) -> tuple[Answered, ...]:
    return given(the(await engine.commit(answering(*answers))))


async def mail(store: Store, run: RunId = RUN) -> list[bytes]:
    return [message.body for message in await store.read_mailbox(run, 10)]


async def test_a_token_reads_back_as_it_was_asked(home: Home) -> None:
    store = await home.open()
    engine = await Driver.begin(store)
    await engine.start(RUN)
    await ask(engine, token(expires_at=9_000))

    again = await home.open_after_a_death(store)

    assert await again.read_token("t1") == token(expires_at=9_000)
    assert await again.read_token("other") is None
    await again.close()


async def test_an_answer_and_its_message_are_one_commit(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await ask(engine, token())

    accepted = the(await give(engine, answer()))

    row = await store.read_token("t1")
    message = the(await store.read_mailbox(RUN, 10))
    assert accepted == Answered("accepted", row, message.number)
    assert row is not None
    assert (row.status, row.by, row.value, row.answered_at) == ("answered", "ann", b"yes", 2_000)
    assert (message.kind, message.body) == ("token", b"ann")


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_of_two_answers_one_wins_and_one_message_is_sent(
    store: Store, engine: Driver, is_one_batch: bool
) -> None:
    await engine.start(RUN)
    await ask(engine, token())

    answers = [answering(answer()), answering(answer(by="bob"))]
    if is_one_batch:
        results = await engine.commit(*answers)
    else:
        results = [the(await engine.commit(one)) for one in answers]
    first, second = (the(given(result)) for result in results)

    assert (first.result, second.result) == ("accepted", "answered")
    assert second.row is not None
    assert second.row.by == "ann"
    assert await mail(store) == [b"ann"]


async def test_a_token_may_be_asked_and_answered_in_one_commit(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN)
    transaction = engine.on(RUN, record(2, kind="token_opened"))
    transaction.also.tokens = (token(expires_at=5),)
    transaction.also.answers = (expiry(at=5),)

    answered = the((await engine.receipt(transaction)).answers)

    assert answered.result == "accepted"
    assert await mail(store) == [b"expired"]


async def test_expiry_and_answer_exclude_each_other(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await ask(engine, token(expires_at=2_000), token(name="t2", expires_at=2_000))

    # On equal time people win over clocks, if they come first.
    on_time = await give(engine, answer(at=2_000), expiry(at=2_000))
    after = await give(engine, expiry("t2", at=2_000), answer("t2", at=2_000))

    assert [a.result for a in on_time] == ["accepted", "answered"]
    assert [a.result for a in after] == ["accepted", "expired"]
    assert await mail(store) == [b"ann", b"expired"]


async def test_an_answer_after_the_deadline_is_refused(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await ask(engine, token(expires_at=2_000))

    late = the(await give(engine, answer(at=2_001)))

    assert late.result == "expired"
    assert await mail(store) == []


async def test_an_answer_is_for_the_question_of_its_digest(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await ask(engine, token())

    wrong = the(await give(engine, answer(digest="d2")))
    right = the(await give(engine, answer(digest="d1")))

    assert (wrong.result, right.result) == ("changed", "accepted")


async def test_an_answer_to_nothing_is_refused(store: Store, engine: Driver) -> None:
    await engine.start(RUN)

    assert await give(engine, answer("nothing")) == (Answered("not_found"),)
    assert await mail(store) == []


async def test_a_token_is_asked_once(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    await ask(engine, token())
    await give(engine, answer())

    again = engine.on(RUN, record(3, kind="token_opened"))
    again.also.tokens = (token(),)
    await engine.receipt(again)

    row = await store.read_token("t1")
    assert row is not None
    assert row.status == "answered"


@pytest.mark.parametrize("status", CLOSED)
async def test_a_run_that_closes_closes_what_it_asks(
    store: Store, engine: Driver, status: str
) -> None:
    await engine.start(RUN, OTHER)
    await ask(engine, token(), token(name="t2"))
    await ask(engine, token(OTHER, "t3"))
    await give(engine, answer("t2"))
    closing = engine.on(RUN)
    row = await engine.current(RUN)
    closing.also.summary = msgspec.structs.replace(row, status=status, closed_at=5, resident=False)

    results = await engine.commit(closing, answering(answer()))

    assert the(given(results[1])).result == "closed"
    found = {row.id: row.status for row in await store.list_tokens(None, 10)}
    assert found == {"t1": "closed", "t2": "answered", "t3": "open"}
    assert the(await give(engine, answer())).result == "closed"


async def test_tokens_go_with_their_run(store: Store, engine: Driver) -> None:
    await engine.start(RUN, OTHER)
    await ask(engine, token())
    await ask(engine, token(OTHER, "t3"))
    await engine.close_run(RUN, closed_at=2_000)

    await store.prune(2_001, 10)

    assert [row.id for row in await store.list_tokens(None, 10)] == ["t3"]


async def test_a_run_that_takes_an_id_over_has_no_tokens_of_the_old_one(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN)
    await ask(engine, token())
    await engine.close_run(RUN, "failed")

    results = await engine.commit(engine.starting(engine.row(RUN)), answering(answer()))

    assert given(results[1]) == (Answered("not_found"),)
    assert await store.list_tokens(None, 10) == []


async def test_tokens_are_listed_oldest_first_page_by_page(store: Store, engine: Driver) -> None:
    await engine.start(RUN)
    times = {"a": 3, "b": 1, "c": 2, "d": 2}
    await ask(engine, *[
        msgspec.structs.replace(token(name=name), created_at=at) for name, at in times.items()
    ])  # fmt: skip
    await give(engine, answer("c"))

    async def pages(*, open_only: bool) -> list[list[str]]:
        found: list[list[str]] = []
        after: tuple[int, str] | None = None
        while page := await store.list_tokens(after, 2, open_only=open_only):
            found.append([row.id for row in page])
            after = page[-1].created_at, page[-1].id
        return found

    assert await pages(open_only=False) == [["b", "c"], ["d", "a"]]
    assert await pages(open_only=True) == [["b", "d"], ["a"]]
    assert await store.list_tokens(None, 10, run=OTHER) == []


async def test_a_withdrawn_token_is_closed_and_an_answered_one_stays(
    store: Store, engine: Driver
) -> None:
    await engine.start(RUN)
    await ask(engine, token(), token(name="t2"), token(name="t3"))
    await give(engine, answer("t2"))

    withdrawing = engine.on(RUN, record(3))
    withdrawing.also.tokens = (token(name="t4"),)
    withdrawing.also.withdrawn = ("t1", "t2", "t4", "never asked")
    late = answering(answer("t1"), answer("t3"))
    results = await engine.commit(withdrawing, late)

    assert [a.result for a in given(results[1])] == ["closed", "accepted"]
    rows = [await store.read_token(name) for name in ("t1", "t2", "t3", "t4")]
    assert [row.status for row in rows if row] == ["closed", "answered", "answered", "closed"]
