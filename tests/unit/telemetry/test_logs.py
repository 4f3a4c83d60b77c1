"""Log lines know who said them, are one line each, and hold no secret."""

from __future__ import annotations

import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast import Engine, Retry, Signal, step, this_step, wf, workflow
from outlast._logfile import LogLine, Wanted, read_log
from outlast._wording.redaction import redact
from outlast.errors import RunFailed, RunParked
from outlast.telemetry import write_logs

CANARY = "sk-canary0123456789abcdef"
log = logging.getLogger("shop")


def log_lines(file: Path, run: str = "") -> list[LogLine]:
    return read_log(file, wanted=Wanted(run=run, size=1000)).lines


@pytest.fixture(autouse=True)
def _root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@step(retry=Retry(attempts=2, first="1ms"))
async def logs_say(text: str) -> None:
    log.info("said %s", text)
    if this_step().attempt < 2:
        raise ValueError("again")


@step
def logs_say_on_a_thread(text: str) -> None:
    log.warning("thread %s", text)


@workflow
async def logs_speaking() -> None:
    wf.log.info("begins")
    await logs_say("one\ntwo \x1b[31m")
    await logs_say_on_a_thread("three")


@step
async def logs_leak() -> None:
    raise ValueError(f"the service refused the key {CANARY} of postgres://me:hunter2@db/x")


@workflow
async def logs_leaking() -> None:
    await logs_leak()


@step(retry=Retry(attempts=1, then="park"))
async def logs_stop() -> None:
    raise ValueError("no")


@workflow
async def logs_parking() -> None:
    await logs_stop()


async def test_lines_know_the_run_the_step_and_the_attempt(tmp_path: Path) -> None:
    file = tmp_path / "log"
    write_logs(file)
    async with Engine.open(tmp_path / "x.db") as engine:
        run = await engine.start(logs_speaking(), id="r")
        await run.result()
    log.info("outside")

    said = [line for line in log_lines(file) if line.logger in ("shop", "outlast.workflow")]
    assert [(x.message, x.run, x.attempt) for x in said] == [
        ("[r] begins", "r", 0),
        ("said one\ntwo \x1b[31m", "r", 1),
        ("said one\ntwo \x1b[31m", "r", 2),
        ("thread three", "r", 1),
        ("outside", "", 0),
    ]
    assert said[1].step.endswith("logs_say")
    of_run = [x.message for x in log_lines(file, "r") if x.logger != "outlast.engine"]
    assert of_run == [x.message for x in said[:4]]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes().splitlines()) == len(log_lines(file))


async def test_how_a_run_failed_or_stands_still_is_among_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "log"
    write_logs(file)
    async with Engine.open(tmp_path / "x.db") as engine:
        failing = await engine.start(logs_leaking(), id="failing")
        with pytest.raises(RunFailed):
            await failing.result()
        parked = await engine.start(logs_parking(), id="parked")
        with pytest.raises(RunParked):
            await parked.result()
    said = log_lines(file, "failing")
    assert [x.level for x in said] == ["warning", "error"]
    assert "of run failing failed, attempt 1: ValueError: the service refused" in said[0].message
    assert said[1].message.startswith("run failing failed: ValueError: the service refused")
    assert not [x for x in said if CANARY in x.message]
    said = log_lines(file, "parked")
    assert [x.level for x in said] == ["warning", "warning"]
    assert said[1].message.startswith("run parked is parked:")


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir() if path.is_file())


async def test_a_secret_in_an_error_reaches_no_journal_no_log_and_no_caller(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log"
    write_logs(file, level=logging.DEBUG)
    async with Engine.open(tmp_path / "x.db") as engine:
        run = await engine.start(logs_leaking())
        with pytest.raises(RunFailed) as failed:
            await run.result()
        log.error("leaked: %s", CANARY, exc_info=failed.value)
        records = [repr(record) async for record in run.journal()]
    assert "[redacted]" in f"{failed.value}"
    stored = everything_in(tmp_path)
    for text in (f"{failed.value}", failed.value.traceback, *records, capfd.readouterr().err):
        assert CANARY not in text
        assert "hunter2" not in text
    assert CANARY.encode() not in stored
    assert b"hunter2" not in stored


def test_what_is_no_line_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b'{"at": "x"}\n\xff\xfe\n{"half\n')
    assert log_lines(file) == []
    assert log_lines(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    "text",
    [
        "Bearer abcdefghijklmnopqrstuvwxyz",
        "Authorization: bearer abcdefghijklmnopqrstuvwxyz",
        "o7tk-" + "0a" * 32,
        "ghp_" + "a" * 36,
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-1234567890-abc",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefg",
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "password=hunter22",
        '{"api_key": "abcdef1234"}',
        "https://user:passw0rd@example.com/x",
        "client_secret: abcdef1234",
    ],
)
def test_what_looks_like_a_secret_is_taken_out_and_once_is_enough(text: str) -> None:
    shown = redact(f"before {text} after")
    assert "[redacted]" in shown
    assert shown.startswith("before ")
    assert shown.endswith("after") or "@example.com" in shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    ["unexpected token: identifier", "run 'a' failed: KeyError: 'b'", "password is too short", ""],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


on = Signal("logs_on", str)


@workflow
async def logs_waiting() -> bool:
    wf.log.info("begins, replaying %s", wf.is_replaying)
    await on.receive()
    wf.log.info("goes on")
    return wf.is_replaying


async def test_what_a_workflow_logs_is_logged_once_over_its_lives(tmp_path: Path) -> None:
    file = tmp_path / "log"
    write_logs(file)
    async with Engine.open(tmp_path / "x.db") as engine:
        await engine.start(logs_waiting(), id="r")
    async with Engine.open(tmp_path / "x.db") as engine:
        run = engine.get("r", logs_waiting)
        await run.signal(on, "go")
        assert await run.result() is False
    said = [line.message for line in log_lines(file, "r") if line.logger == "outlast.workflow"]
    assert said == ["[r] begins, replaying False", "[r] goes on"]


FULL_LOG = """
import logging, resource, sys
from pathlib import Path
from outlast.telemetry import write_logs

file = Path(sys.argv[1])
write_logs(file)
log = logging.getLogger("shop")
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for outage in range(2):
    log.info("before %d", outage)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, hard))
    for n in range(3):
        log.info("while full %d", n)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.info("after")
"""


def test_a_log_file_on_a_full_disk_is_one_line_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "outlast.log"

    ended = subprocess.run(
        [sys.executable, "-c", FULL_LOG, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    lines = ended.stderr.splitlines()
    said = [line for line in lines if "cannot write the log file" in line]
    assert len(said) == 2, "once for each time that it was full"
    assert f"{file} (File too large)" in said[0]
    assert len([line for line in lines if "while full" in line]) == 6
    assert len(lines) == 2 + 6 + 3, "and no traceback"
    assert log_lines(file)[-1].message == "after"
