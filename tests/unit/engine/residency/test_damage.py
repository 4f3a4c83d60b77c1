"""A damaged record parks its run alone; the run can be ended, and the others go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from outlast import Actor, Engine, Signal, actor, handler, step, workflow
from outlast._store.sqlite.connection import connect
from outlast.errors import RunCancelled, RunParked, RunTerminated, StoreDamaged

go = Signal("damaged_go", int)


@step
async def doubled(n: int) -> int:
    return 2 * n


@workflow
async def waits(n: int) -> int:
    return await doubled(n) + await go.receive()


@actor
class Counter(Actor[int]):
    @handler
    async def add(self, n: int) -> int:
        self.state += n
        return self.state


def change(path: Path, sql: str) -> None:
    db = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    db.execute(sql)
    db.close()


async def begin(path: Path) -> None:
    """Leave two runs, packed in histories, and two actors."""
    async with Engine.open(str(path)) as engine:
        for run in ("hurt", "well"):
            await engine.start(waits(1), id=run)
            await engine.actor(Counter, run).ask(Counter.add, 5)


async def begin_in_tail(path: Path, kept: Path) -> None:
    """Copy the same to `kept` while the engine runs: with records in the log, as after a crash."""
    async with Engine.open(str(path)) as engine:
        for run in ("hurt", "well"):
            await engine.start(waits(1), id=run)
        await engine.get("well").signal(go, 3)
        assert await engine.get("well").result(timeout="30s") == 5
        await engine.start(waits(4), id="too")
        for suffix in ("", "-wal", ".mark"):
            shutil.copy(f"{path}{suffix}", f"{kept}{suffix}")


HURT = {
    "history": "UPDATE histories SET body = x'00' WHERE run = 'hurt'",
    "range of a history": "UPDATE histories SET last_seq = last_seq - 1 WHERE run = 'hurt'",
    "lost history": "DELETE FROM histories WHERE run = 'hurt'",
}


@pytest.mark.parametrize("sql", HURT.values(), ids=HURT)
async def test_a_damaged_history_parks_its_run_alone(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "outlast.db"
    await begin(path)
    change(path, sql)

    async with Engine.open(str(path)) as engine:
        await engine.get("well").signal(go, 3)
        await engine.get("hurt").signal(go, 3)
        assert await engine.get("well").result(timeout="30s") == 5
        with pytest.raises(RunParked, match="damaged"):
            await engine.get("hurt").result(timeout="30s")

        assert "parked: damaged" in await engine.get("hurt").why()
        shown = {info.id: info.status async for info in engine.runs()}
        assert shown == {"hurt": "parked", "well": "completed"}
        with pytest.raises(StoreDamaged):
            [record async for record in engine.get("hurt").journal()]


@pytest.mark.parametrize(
    "change_to", ["body = x'00'", "key = 'odd'", "run = 'hurts'", "seq = seq + 4", "epoch = 7"]
)
async def test_a_damaged_record_of_the_log_parks_its_run_alone(
    tmp_path: Path, change_to: str
) -> None:
    path = tmp_path / "kept.db"
    await begin_in_tail(tmp_path / "outlast.db", path)
    change(
        path,
        f"UPDATE journal SET {change_to} WHERE position = "
        f"(SELECT max(position) FROM journal WHERE run = 'hurt')",
    )

    async with Engine.open(str(path)) as engine:
        await engine.get("too").signal(go, 3)
        assert await engine.get("too").result(timeout="30s") == 11
        with pytest.raises(RunParked, match="damaged"):
            await engine.get("hurt").result(timeout="30s")
        await engine.get("hurt").terminate("given up")
        with pytest.raises(RunTerminated):
            await engine.get("hurt").result(timeout="30s")


async def test_a_damaged_run_is_not_tried_again_and_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outlast.db"
    await begin(path)
    change(path, HURT["history"])

    async with Engine.open(str(path)) as engine:
        with pytest.raises(RunParked):
            await engine.get("hurt").result(timeout="30s")
        first = [record for record in caplog.records if "is parked" in record.getMessage()]
        commits = engine._core.events.commits
        await engine.get("hurt").signal(go, 3)
        await engine._core.world.sleep(2.5)

        again = [record for record in caplog.records if "is parked" in record.getMessage()]
        assert again == first
        assert engine._core.events.commits - commits <= 2


@pytest.mark.parametrize("verb", ["terminate", "cancel"])
@pytest.mark.parametrize(
    "sql",
    [
        HURT["history"],
        "UPDATE runs SET waiting_for = 'odd' WHERE id = 'hurt'",
        "UPDATE runs SET parent_key = 'odd' WHERE id = 'hurt'",
    ],
    ids=["history", "summary", "start"],
)
async def test_a_damaged_run_can_be_ended(tmp_path: Path, sql: str, verb: str) -> None:
    path = tmp_path / "outlast.db"
    await begin(path)
    change(path, sql)

    async with Engine.open(str(path)) as engine:
        run = engine.get("hurt")
        await (run.terminate("given up") if verb == "terminate" else run.cancel("given up"))

        if "parent_key" in sql:  # its row still says nothing that can be trusted
            with pytest.raises(StoreDamaged):
                await run.result(timeout="30s")
        else:
            with pytest.raises(RunTerminated if verb == "terminate" else RunCancelled):
                await run.result(timeout="30s")
        statuses = {info.id: info.status async for info in engine.runs()}
        assert statuses["hurt"] == ("terminated" if verb == "terminate" else "cancelled")


async def test_a_message_that_is_damaged_parks_its_run_alone(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    await begin(path)
    async with Engine.open(str(path)) as engine:
        for run in ("hurt", "well"):
            await engine.get(run).pause()
            await engine.get(run).signal(go, 3)
    change(path, "UPDATE mailbox SET body = x'6a34' WHERE run = 'hurt'")

    async with Engine.open(str(path)) as engine:
        await engine.get("well").resume()
        assert await engine.get("well").result(timeout="30s") == 5
        with pytest.raises(StoreDamaged, match="mailbox"):
            await engine.get("hurt").resume()
        with pytest.raises(RunParked, match="damaged"):
            await engine.get("hurt").result(timeout="30s")
        await engine.get("hurt").terminate()
        letters = [letter async for letter in engine.dead_letters()]
        assert ("hurt", "damaged") in [(letter.actor, letter.reason) for letter in letters]


async def test_an_actor_whose_state_is_damaged_answers_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    await begin(path)
    change(path, "UPDATE runs SET output = x'6a37' WHERE kind = 'actor' AND id LIKE '%hurt'")

    async with Engine.open(str(path)) as engine:
        assert await engine.actor(Counter, "well").ask(Counter.add, 1) == 6
        with pytest.raises(StoreDamaged):
            await engine.actor(Counter, "hurt").options(timeout="30s").ask(Counter.add, 1)
        shown = {info.key: info.status async for info in engine.actors(Counter)}
        assert shown["well"] != "parked"
        assert "parked" in shown.values()


async def test_an_id_whose_row_is_damaged_stays_taken(tmp_path: Path) -> None:
    path = tmp_path / "outlast.db"
    await begin(path)
    change(path, "UPDATE runs SET workflow = 'other' WHERE id = 'hurt'")

    async with Engine.open(str(path)) as engine:
        with pytest.raises(StoreDamaged, match="taken"):
            await engine.start(waits(1), id="hurt")
        assert "damaged" in await engine.get("hurt").why()
