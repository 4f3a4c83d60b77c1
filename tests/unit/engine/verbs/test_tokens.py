"""Tokens and approvals: asked by a run, answered once from outside, by a person or the clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import Approval, Engine, Run, Signal, Token, step, wf, workflow
from outlast._engine.reading.dry_replay import rehearse
from outlast.errors import (
    DecodingError,
    DigestMismatch,
    NotInRun,
    PayloadTooLarge,
    RunClosed,
    RunFailed,
    RunTerminated,
    TokenAnswered,
    TokenClosed,
    TokenExpired,
    TokenNotFound,
    UsageError,
    WaitTimeout,
    WrongApprover,
)
from outlast.types import RunId
from tests.unit.engine.drawing import asked


@dataclass
class Offer:
    """What the outside offers."""

    cents: int
    until: str = "today"


sent: list[Token[Offer]] = []
leave = Signal("tokens_leave", bool)


@step
async def send(token: Token[Offer]) -> str:
    """Hand the token to the outside."""
    sent.append(token)
    return token.url


@workflow
async def wants_offer(timeout: str | None = None) -> list[object]:
    """Ask for an offer, and hand the token on in a step."""
    token = wf.token(Offer, timeout=timeout)
    url = await send(token)
    try:
        offer = await token.wait()
    except WaitTimeout:
        return [url, "late"]
    return [url, offer.cents, offer.until]


@workflow
async def asks_titled(title: str) -> list[object]:
    """Ask for a value with words for people, under keys."""
    number = wf.token(int, title=title, detail={"order": "7"}, key="number/7")
    try:
        wf.token(int, key="number/7")
    except UsageError as error:
        return [await number.wait(), str(error)[:42]]
    return []


@workflow
async def refunds(cents: int, timeout: str | None = None) -> list[object]:
    """Ask a person."""
    said = await wf.approve(f"Refund {cents}?", detail={"cents": cents}, timeout=timeout)
    return [said.approved, said.by, said.reason]


@workflow
async def asks_the_boss(cents: int) -> list[object]:
    """Ask one person."""
    said = await wf.approve(f"Refund {cents}?", by="boss")
    return [said.approved, said.by, said.reason]


@workflow
async def asks_and_leaves() -> str:
    """Ask, and end without waiting."""
    wf.token(Offer)
    await leave.receive()
    return "left"


@workflow
async def asks_twice() -> list[object]:
    """Ask two at once, and one of them twice."""
    first, second = wf.token(int), wf.token(int)
    values = await asyncio.gather(second.wait(), first.wait(), first.wait())
    return [*values, first == second]


async def test_an_answer_reaches_the_run_as_a_value_of_the_type(engine: Engine) -> None:
    run = await engine.start(wants_offer())
    info = (await asked(engine))[0]

    await engine.answer(info.id, {"cents": 7}, by="shop")

    assert await run.result("30s") == [f"/v1/tokens/{info.id}", 7, "today"]
    answered = await engine.token(info.id)
    assert (answered.status, answered.by, answered.value) == (
        "answered",
        "shop",
        {"cents": 7, "until": "today"},
    )
    assert (info.status, info.by, info.kind, info.run, info.title) == (
        "open",
        None,
        "token",
        run.id,
        "Offer",
    )


async def test_a_value_of_the_type_is_an_answer_too(engine: Engine) -> None:
    run = await engine.start(wants_offer())
    info = (await asked(engine))[0]

    await engine.answer(info.id, Offer(8, "tomorrow"))

    assert (await run.result("30s"))[1:] == [8, "tomorrow"]


async def test_a_value_that_does_not_fit_is_refused_and_nothing_is_stored(engine: Engine) -> None:
    run = await engine.start(wants_offer())
    info = (await asked(engine))[0]

    with pytest.raises(DecodingError, match="cents"):
        await engine.answer(info.id, {"cents": "seven"})

    assert (await engine.token(info.id)).status == "open"
    await engine.answer(info.id, {"cents": 7})
    assert (await run.result("30s"))[1] == 7


async def test_the_first_answer_counts_and_the_second_learns_whose_it_was(engine: Engine) -> None:
    run = await engine.start(refunds(40))
    info = (await asked(engine))[0]

    results = await asyncio.gather(
        engine.approve(info.id, by="ann"),
        engine.reject(info.id, by="bob", reason="no"),
        return_exceptions=True,
    )

    lost = [r for r in results if r is not None]
    assert len(lost) == 1
    assert isinstance(lost[0], TokenAnswered)
    assert (await run.result("30s"))[1] == lost[0].by
    assert lost[0].at is not None


async def test_an_approval_says_who_and_why(engine: Engine) -> None:
    yes, no = await engine.start(refunds(1)), await engine.start(refunds(2))
    by_run = {info.run: info for info in await asked(engine, 2)}

    await engine.approve(by_run[yes.id].id, by="ann", reason="fair")
    await engine.reject(by_run[no.id].id, by="bob", reason="late")

    assert await yes.result("30s") == [True, "ann", "fair"]
    assert await no.result("30s") == [False, "bob", "late"]
    info = await engine.token(by_run[no.id].id)
    assert (info.kind, info.title, info.detail, info.value, info.reason) == (
        "approval",
        "Refund 2?",
        {"cents": 2},
        False,
        "late",
    )


async def test_nobody_in_time_is_not_approved(engine: Engine) -> None:
    run = await engine.start(refunds(1, "50ms"))

    assert await run.result("30s") == [False, None, ""]
    (info,) = [info async for info in engine.tokens(open_only=False)]
    with pytest.raises(TokenExpired):
        await engine.approve(info.id, by="ann")
    assert (await engine.token(info.id)).status == "expired"


async def test_a_token_that_expires_raises_where_the_code_waits(engine: Engine) -> None:
    run = await engine.start(wants_offer("50ms"))

    assert (await run.result("30s"))[1] == "late"


async def test_an_approval_bound_to_its_question_is_no_answer_to_another(engine: Engine) -> None:
    run = await engine.start(refunds(1))
    await engine.start(refunds(2))
    infos = await asked(engine, 2)
    mine, other = sorted(infos, key=lambda info: info.run != run.id)

    with pytest.raises(DigestMismatch, match="Refund 1"):
        await engine.approve(mine.id, by="ann", digest=other.digest)
    await engine.approve(mine.id, by="ann", digest=mine.digest)

    assert await run.result("30s") == [True, "ann", ""]


async def leave_memory(engine: Engine, run: Run[object]) -> None:
    async with asyncio.timeout(30):
        while RunId(run.id) in engine._core.scheduler.residents:
            engine._core.residency.passivate_all()
            await asyncio.sleep(0.005)  # it leaves when its row is durable


@pytest.mark.parametrize("is_resident", [True, False])
async def test_only_the_one_who_is_asked_can_approve(engine: Engine, is_resident: bool) -> None:
    run = await engine.start(asks_the_boss(1))
    info = (await asked(engine))[0]
    if not is_resident:
        await leave_memory(engine, run)

    for by in ("ann", ""):
        with pytest.raises(WrongApprover, match="only 'boss' can") as refused:
            await engine.approve(info.id, by=by)
        assert refused.value.approver == "boss"
    with pytest.raises(WrongApprover):
        await engine.answer(info.id, True, by="ann")
    assert (await engine.token(info.id)).status == "open"
    await engine.approve(info.id, by="boss")

    assert await run.result("30s") == [True, "boss", ""]


async def test_anybody_can_reject_what_one_person_must_approve(engine: Engine) -> None:
    run = await engine.start(asks_the_boss(1))

    await engine.reject((await asked(engine))[0].id, by="ann", reason="too much")

    assert await run.result("30s") == [False, "ann", "too much"]


async def test_a_run_that_ends_takes_its_questions_back(engine: Engine) -> None:
    run = await engine.start(asks_and_leaves())
    info = (await asked(engine))[0]
    await run.signal(leave, value=True)
    assert await run.result("30s") == "left"

    assert await asked(engine, 0) == []
    with pytest.raises(TokenClosed, match="has ended"):
        await engine.answer(info.id, {"cents": 1})


async def test_a_terminated_run_takes_its_questions_back(engine: Engine) -> None:
    run = await engine.start(refunds(1))
    info = (await asked(engine))[0]
    await run.terminate()
    with pytest.raises(RunTerminated):
        await run.result("30s")

    assert (await engine.token(info.id)).status == "closed"


async def test_what_was_never_asked_cannot_be_answered(engine: Engine) -> None:
    with pytest.raises(TokenNotFound, match="nothing"):
        await engine.approve("nothing", by="ann")
    with pytest.raises(TokenNotFound):
        await engine.token("nothing")


async def test_only_approvals_are_approved(engine: Engine) -> None:
    await engine.start(wants_offer())
    info = (await asked(engine))[0]

    with pytest.raises(UsageError, match=r"Offer\) is not an approval"):
        await engine.approve(info.id, by="ann")


async def test_a_token_says_to_people_what_it_is_about(engine: Engine) -> None:
    run = await engine.start(asks_titled("How many boxes?"))
    (info,) = await asked(engine)
    assert (info.title, info.detail) == ("How many boxes?", {"order": "7"})
    await engine.answer(info.id, 7)
    assert await run.result("30s") == [7, "the run has used the key 'number/7' before"]
    keys = [record.key async for record in run.journal() if record.kind == "token_opened"]
    assert keys == ["=number/7:token"]


@pytest.mark.parametrize("title", ["", "x" * 501])
async def test_a_title_is_one_line(engine: Engine, title: str) -> None:
    with pytest.raises(RunFailed, match="a title has 1 to 500 characters"):
        await engine.run(asks_titled(title))


async def test_several_tokens_and_several_waiters(engine: Engine) -> None:
    run = await engine.start(asks_twice())
    first, second = await asked(engine, 2)

    await engine.answer(first.id, 1)
    await engine.answer(second.id, 2)

    values = await run.result("30s")
    assert sorted(map(str, values)) in (["1", "1", "2", "False"], ["1", "2", "2", "False"])


async def test_why_names_what_is_asked(engine: Engine) -> None:
    run = await engine.start(refunds(3))
    await asked(engine)
    async with asyncio.timeout(30):
        while "Refund 3?" not in await run.why():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)

    assert await run.why() == "waiting for approval 'Refund 3?'"


async def test_a_token_is_waited_for_only_in_its_run(engine: Engine) -> None:
    @workflow(name="waits_for_a_stranger")
    async def stranger(token: Token[int]) -> str:
        try:
            return str(await token.wait())
        except UsageError as error:
            return type(error).__name__

    assert await engine.run(stranger(Token("somebody's"))) == "UsageError"
    with pytest.raises(NotInRun):
        await Token[int]("somebody's").wait()


async def test_what_an_approval_is_about_has_a_limit(engine: Engine) -> None:
    @workflow(name="tells_too_much")
    async def tells() -> str:
        try:
            await wf.approve("Read this?", detail="x" * 70_000)
        except PayloadTooLarge:
            return "too large"
        return "asked"

    assert await engine.run(tells()) == "too large"


async def test_the_journal_tells_what_was_asked_and_answered(engine: Engine) -> None:
    run = await engine.start(refunds(5))
    info = (await asked(engine))[0]
    await engine.approve(info.id, by="ann", reason="fine")
    await run.result("30s")

    told = {r.kind: r.value async for r in run.journal() if r.kind.startswith("token")}

    assert told == {
        "token_opened": {"kind": "approval", "detail": {"cents": 5}},
        "token_answered": {"value": True, "by": "ann", "reason": "fine"},
    }


# --------------------------------------------------------------- over restarts, on disk
async def begun(path: Path, run: Run[list[object]] | None = None) -> str:
    """Have a run ask, close the engine, and return the token's id."""
    async with Engine.open(path) as engine:
        await engine.start(wants_offer(), id="asker")
        info = (await asked(engine))[0]
    return info.id


async def test_a_passivated_run_checks_and_takes_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    token = await begun(path)

    async with Engine.open(path) as engine:
        assert (await engine.get("asker").info()).status == "waiting"
        with pytest.raises(DecodingError):
            await engine.answer(token, {"cents": "x"})
        await engine.answer(token, {"cents": 9})
        assert (await engine.get("asker", wants_offer).result("30s"))[1] == 9


async def test_a_deadline_that_passed_while_nothing_ran_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        await engine.start(refunds(1, "2s"), id="refund")
        info = (await asked(engine))[0]
    await asyncio.sleep(2.05)

    async with Engine.open(path, recover=False) as engine:
        with pytest.raises(TokenExpired):
            await engine.approve(info.id, by="ann")
    async with Engine.open(path) as engine:
        assert await engine.get("refund", refunds).result("30s") == [False, None, ""]


async def test_an_answer_given_while_nothing_ran_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        await engine.start(refunds(1, "1h"), id="refund")
        info = (await asked(engine))[0]
    async with Engine.open(path, recover=False) as engine:
        await engine.approve(info.id, by="ann")
        with pytest.raises(TokenAnswered, match="ann"):
            await engine.reject(info.id, by="bob")

    async with Engine.open(path) as engine:
        assert await engine.get("refund", refunds).result("30s") == [True, "ann", ""]


async def test_the_inbox_is_read_beside_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    async with Engine.open(path) as engine:
        await engine.start(refunds(1), id="refund")
        await asked(engine)
        async with Engine.open(path, read_only=True) as reader:
            assert [info.run async for info in reader.tokens()] == ["refund"]


def test_an_approval_is_a_plain_value() -> None:
    assert Approval(True, "ann", "ok") == Approval(approved=True, by="ann", reason="ok")


async def test_a_run_that_has_ended_meanwhile_is_not_replayed_for_ever(engine: Engine) -> None:
    run = await engine.start(wants_offer("1ms"), id="asker")
    await run.result("30s")
    core = engine._core
    row = await core.store.read_run(RunId("asker"))
    assert row is not None
    records = await core.store.read_journal(RunId("asker"))

    with pytest.raises(RunClosed):
        async with asyncio.timeout(30):
            await rehearse(core.world, core.registry, {}, row=row, records=records)
