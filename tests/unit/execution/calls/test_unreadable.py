"""Data that today's code cannot read: older code after a rollback opens the store of newer code.

Each test runs one program in processes of their own, as deployed versions of it would.
"""

from __future__ import annotations

from pathlib import Path

from tests.unit.engine.versions import executed

HEAD = """
import asyncio, enum, sys
from dataclasses import dataclass, field
from outlast import (
    Actor, Engine, Signal, Update, actor, handler, step, wf, workflow, RunParked, AskTimeout,
)

class Verdict(enum.Enum):
    YES = "yes"
    NO = "no"
    {members}

go = Signal("go", int)
said = Signal("said", Verdict)
amend = Update("amend", Verdict, str)

@step
async def ask_someone() -> Verdict:
    return Verdict("later")

@workflow
async def reads() -> list[str]:
    await go.receive()
    heard = []
    while len(heard) < 2:
        heard.append((await said.receive()).value)
    return heard

@workflow
async def judged(first: Verdict) -> str:
    await go.receive()
    return first.value

@workflow
async def asked() -> str:
    answer = await ask_someone()
    await go.receive()
    return answer.value

@workflow
async def amended() -> list[str]:
    heard = []
    if await go.receive() == 1:
        await go.receive()

    @amend.handler
    async def on_amend(verdict: Verdict) -> str:
        heard.append(verdict.value)
        return verdict.value

    await wf.until(lambda: len(heard) == 2)
    return heard

@dataclass
class Heard:
    verdicts: list[str] = field(default_factory=list)

@actor
class Judge(Actor[Heard]):
    @handler
    async def hear(self, verdict: Verdict) -> list[str]:
        self.state.verdicts.append(verdict.value)
        return self.state.verdicts

    @handler
    async def slow(self, verdict: Verdict) -> list[str]:
        await ask_someone()
        self.state.verdicts.append(verdict.value)
        return self.state.verdicts

    @handler(read=True)
    async def heard(self) -> list[str]:
        return self.state.verdicts

async def until(engine, run, text):
    async with asyncio.timeout(30):
        while text not in await engine.get(run).why():
            await asyncio.sleep(0.01)

async def told(engine):
    print("why:", await engine.get("r").why())
    print("status:", (await engine.get("r").info()).status)
    print("dead:", [(d.kind, d.reason) async for d in engine.dead_letters()])
"""
TAIL = """
async def main():
    async with Engine.open("o.db") as engine:
        await globals()[sys.argv[1]](engine)

asyncio.run(main())
"""
NEW = HEAD.replace("{members}", 'LATER = "later"')
OLD = HEAD.replace("{members}", "pass")


def ran(folder: Path, code: str, verbs: str, verb: str) -> list[str]:
    """Run one verb of a program, and return the lines that it printed."""
    return executed(folder, code + verbs + TAIL, verb).stdout.splitlines()


SIGNALS = """
async def begin(engine):
    run = await engine.start(reads(), id="r")
    await run.signal(said, Verdict("later"), dedup="s1")
    await run.signal(said, Verdict("yes"))

async def go_on(engine):
    await engine.get("r").signal(go, 1)
    await until(engine, "r", "unreadable")
    await told(engine)

async def end(engine):
    print(await engine.get("r").result(timeout=30))

async def give_up(engine):
    await engine.get("r").discard()
    await engine.get("r").signal(said, Verdict("no"))
    print(await engine.get("r", reads).result(timeout=30, parked="wait"))
    print([(d.kind, d.handler, d.reason) async for d in engine.dead_letters()])
"""


def test_a_signal_that_older_code_cannot_read_parks_the_run_and_is_read_by_the_new(
    tmp_path: Path,
) -> None:
    ran(tmp_path, NEW, SIGNALS, "begin")

    lines = ran(tmp_path, OLD, SIGNALS, "go_on")

    assert lines[0].startswith("why: parked: unreadable: signal 'said'")
    assert lines[1:] == ["status: parked", "dead: []"]
    assert ran(tmp_path, NEW, SIGNALS, "end") == ["['later', 'yes']"]


def test_an_operator_makes_an_unreadable_signal_a_dead_letter_and_the_run_goes_on(
    tmp_path: Path,
) -> None:
    ran(tmp_path, NEW, SIGNALS, "begin")
    ran(tmp_path, OLD, SIGNALS, "go_on")

    assert ran(tmp_path, OLD, SIGNALS, "give_up") == [
        "['yes', 'no']",
        "[('signal', 'said', 'unreadable')]",
    ]
    # The journal replays without it from now on, under any code.
    assert ran(tmp_path, NEW, SIGNALS, "end") == ["['yes', 'no']"]


USED = """
@workflow
async def hears_and_rests() -> str:
    heard = await said.receive()
    await asyncio.sleep(0.01)
    await go.receive()
    return heard.value

async def begin(engine):
    run = await engine.start(hears_and_rests(), id="r")
    await run.signal(said, Verdict("later"))
    await until(engine, "r", "signal 'go'")

async def give_up(engine):
    await engine.get("r").signal(go, 1)
    await until(engine, "r", "unreadable")
    print("outlast discard" in await engine.get("r").why())
    try:
        await engine.get("r").discard()
    except Exception as error:
        print(type(error).__name__, "earlier code has received it" in str(error))
    await told(engine)

async def end(engine):
    print(await engine.get("r").result(timeout=30))
"""


def test_a_signal_that_the_run_has_acted_on_is_not_discarded(tmp_path: Path) -> None:
    ran(tmp_path, NEW, USED, "begin")

    lines = ran(tmp_path, OLD, USED, "give_up")

    assert lines[:2] == ["False", "UsageError True"]
    assert lines[3:] == ["status: parked", "dead: []"]
    assert ran(tmp_path, NEW, USED, "end") == ["later"]


TWO = """
async def begin(engine):
    run = await engine.start(reads(), id="r")
    for _ in range(2):
        await run.signal(said, Verdict("later"))

async def twice(engine):
    run = engine.get("r")
    await run.signal(go, 1)
    await until(engine, "r", "(record 2)")
    await asyncio.gather(run.discard(), run.discard())
    await until(engine, "r", "(record 3)")
    await asyncio.sleep(0.1)
    await told(engine)

async def paused(engine):
    run = engine.get("r")
    await until(engine, "r", "(record 3)")
    await run.pause()
    await run.discard()
    await until(engine, "r", "waiting for signal 'said'")
    await told(engine)
"""


def test_a_discard_gives_up_the_message_that_was_looked_at_and_no_other(tmp_path: Path) -> None:
    ran(tmp_path, NEW, TWO, "begin")

    lines = ran(tmp_path, OLD, TWO, "twice")
    assert "(record 3)" in lines[0]
    assert lines[1:] == ["status: parked", "dead: [('signal', 'unreadable')]"]

    # Paused meanwhile, it still cannot read that message.
    lines = ran(tmp_path, OLD, TWO, "paused")
    assert lines[1] == "status: waiting"
    assert lines[2] == "dead: [('signal', 'unreadable'), ('signal', 'unreadable')]"


INPUT = """
async def begin(engine):
    await engine.start(judged(Verdict("later")), id="r")
    await until(engine, "r", "signal")

async def go_on(engine):
    await engine.get("r").signal(go, 1)
    await until(engine, "r", "unreadable")
    await told(engine)
    try:
        await engine.get("r").discard()
    except Exception as error:
        print(type(error).__name__)

async def end(engine):
    print(await engine.get("r").result(timeout=30))
"""


def test_an_input_that_older_code_cannot_read_parks_the_run(tmp_path: Path) -> None:
    ran(tmp_path, NEW, INPUT, "begin")

    lines = ran(tmp_path, OLD, INPUT, "go_on")

    assert lines[0].startswith("why: parked: unreadable: the input of workflow 'app.judged'")
    assert lines[1:] == ["status: parked", "dead: []", "UsageError"]
    assert ran(tmp_path, NEW, INPUT, "end") == ["later"]


RESULT = """
async def begin(engine):
    await engine.start(asked(), id="r")
    await until(engine, "r", "signal")

async def go_on(engine):
    await engine.get("r").signal(go, 1)
    await until(engine, "r", "unreadable")
    await told(engine)

async def end(engine):
    print(await engine.get("r").result(timeout=30))
"""


def test_a_step_result_that_older_code_cannot_read_parks_the_run(tmp_path: Path) -> None:
    ran(tmp_path, NEW, RESULT, "begin")

    lines = ran(tmp_path, OLD, RESULT, "go_on")

    assert "the recorded result of step 'app.ask_someone'" in lines[0]
    assert ran(tmp_path, NEW, RESULT, "end") == ["later"]


UPDATES = """
async def begin(engine):
    run = await engine.start(amended(), id="r")
    await run.signal(go, 1)
    await until(engine, "r", "signal")
    late = [asyncio.create_task(run.update(amend, Verdict(v), id=v)) for v in ("later", "yes")]
    async with asyncio.timeout(30):
        while len(await engine._core.store.read_mailbox("r", 9)) < 2:
            await asyncio.sleep(0.01)
    for task in late:
        task.cancel()

async def go_on(engine):
    await engine.get("r").signal(go, 2)
    await until(engine, "r", "unreadable")
    await told(engine)

async def end(engine):
    print(await engine.get("r").result(timeout=30))
    print(await engine.get("r").update(amend, Verdict("later"), id="later"))

async def give_up(engine):
    await engine.get("r").discard()
    print(await engine.get("r").update(amend, Verdict("no"), id="no"))
    print(await engine.get("r").result(timeout=30, parked="wait"))
    print([(d.kind, d.handler, d.reason) async for d in engine.dead_letters()])
"""


def test_an_update_that_older_code_cannot_read_stays_in_the_mailbox(tmp_path: Path) -> None:
    ran(tmp_path, NEW, UPDATES, "begin")

    lines = ran(tmp_path, OLD, UPDATES, "go_on")

    assert lines[0].startswith("why: parked: unreadable: update 'amend'")
    assert lines[2] == "dead: []"
    assert ran(tmp_path, NEW, UPDATES, "end") == ["['later', 'yes']", "later"]


def test_an_operator_makes_an_unreadable_update_a_dead_letter(tmp_path: Path) -> None:
    ran(tmp_path, NEW, UPDATES, "begin")
    ran(tmp_path, OLD, UPDATES, "go_on")

    assert ran(tmp_path, OLD, UPDATES, "give_up") == [
        "no",
        "['yes', 'no']",
        "[('update', 'amend', 'unreadable')]",
    ]


MESSAGES = """
NAME = "app.Judge/a"

async def begin(engine):
    ref = engine.actor(Judge, "a")
    await ref.ask(Judge.hear, Verdict("no"))
    core = engine._core
    core.scheduler.executes = False  # what is told stays in the mailbox
    await ref.tell(Judge.{verb}, Verdict("later"))
    await ref.tell(Judge.hear, Verdict("yes"))

async def go_on(engine):
    ref = engine.actor(Judge, "a")
    await until(engine, NAME, "unreadable")
    print((await engine.get(NAME).info()).status)
    try:
        await ref.options(timeout="300ms").ask(Judge.hear, Verdict("yes"))
    except AskTimeout:
        print("no answer")
    print([d.reason async for d in engine.dead_letters()])

async def end(engine):
    print(await engine.actor(Judge, "a").options(timeout=30).ask(Judge.hear, Verdict("no")))

async def give_up(engine):
    await engine.get(NAME).discard()
    print(await engine.actor(Judge, "a").options(timeout=30).ask(Judge.hear, Verdict("no")))
    letters = [d async for d in engine.dead_letters()]
    print([(d.kind, d.handler, d.reason, d.attempts) for d in letters])

async def send_again(engine):
    letters = [d async for d in engine.dead_letters()]
    await engine.redrive(letters[0].number)
    async with asyncio.timeout(30):
        while "later" not in (heard := await engine.actor(Judge, "a").ask(Judge.heard)):
            await asyncio.sleep(0.01)
    print(heard)
"""


def test_a_message_that_older_code_cannot_read_stays_at_the_head_of_the_mailbox(
    tmp_path: Path,
) -> None:
    verbs = MESSAGES.replace("{verb}", "hear")
    ran(tmp_path, NEW, verbs, "begin")

    assert ran(tmp_path, OLD, verbs, "go_on") == ["parked", "no answer", "[]"]

    # The ask whose caller went away had a deadline, so it is not handled.
    assert ran(tmp_path, NEW, verbs, "end") == ["['no', 'later', 'yes', 'no']"]


def test_an_operator_makes_an_unreadable_message_a_dead_letter_and_it_can_be_sent_again(
    tmp_path: Path,
) -> None:
    verbs = MESSAGES.replace("{verb}", "slow")
    ran(tmp_path, NEW, verbs, "begin")
    ran(tmp_path, OLD, verbs, "go_on")

    assert ran(tmp_path, OLD, verbs, "give_up") == [
        "['no', 'yes', 'no']",
        # That of the ask in between, whose caller has gone, is given up as expired.
        "[('tell', 'slow', 'unreadable', 0), ('ask', 'hear', 'expired', 0)]",
    ]
    assert ran(tmp_path, NEW, verbs, "send_again") == ["['no', 'yes', 'no', 'later']"]


COMPLETED = """
async def begin(engine):
    run = await engine.start(asked(), id="r")
    await run.signal(go, 1)
    print(await run.result(timeout=30))

async def look(engine):
    try:
        await engine.get("r", ends).result()
    except Exception as error:
        print(type(error).__name__, (await engine.get("r").info()).status)

@workflow
async def ends() -> int:
    return 1
"""


def test_a_result_that_does_not_fit_is_no_failure_of_its_completed_run(tmp_path: Path) -> None:
    assert ran(tmp_path, NEW, COMPLETED, "begin") == ["later"]

    assert ran(tmp_path, NEW, COMPLETED, "look") == ["DecodingError completed"]
