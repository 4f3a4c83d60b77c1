"""`outlast run`: start a workflow and wait for its result.

The owner of the store executes the run: this process when there is none, else the owner, which is
asked over its socket. When the owner goes while we wait, we take over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import click

from outlast import limits
from outlast._handles.run import Run
from outlast._registry import default_registry
from outlast._wording.durations import text_of
from outlast._wording.names import check_name
from outlast.cli.inputs import seconds_option
from outlast.cli.places import (
    Server,
    command_line,
    database_options,
    place_of,
    program_name,
    target_of,
)
from outlast.cli.printing import Status, as_json, note, safe_line, safe_text, say, shown
from outlast.cli.runs.flows import Flow, Here, Started, There, flow_here, flow_there, unfit
from outlast.cli.runs.inspect import record_line
from outlast.cli.transport import PAUSES, Verbs, client_of, write
from outlast.client import Client, RemoteRun
from outlast.client.local import owner_of
from outlast.engine import Engine, run_loop
from outlast.errors import (
    DecodingError,
    EngineClosed,
    RunError,
    RunFailed,
    StoreLocked,
    StoreUnavailable,
    UsageError,
    WaitTimeout,
)

R = TypeVar("R")
AnyRun = Run[object] | RemoteRun[object]

# Many commands that begin at once own the store in turns.
_PAUSES = (*PAUSES, 2.0, 2.0, 2.0)
_OWNER_SECONDS = 1.0  # how often the owner is looked for while it executes our run


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, and how to wait."""

    flow: Flow
    id: str
    command: str
    follows: bool
    as_data: bool
    timeout: float | None


class Interrupted(Exception):
    """The user, or the system, asked us to stop."""


class OwnerGone(Exception):
    """The engine that executed the run has left the store."""


@click.command()
@click.argument("app", metavar="APP:FLOW")
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--input",
    "given",
    metavar="JSON|@FILE|-",
    default=None,
    help="Workflow arguments as a JSON object.",
)
@click.option(
    "--id",
    "run_id",
    metavar="ID",
    default=None,
    help="Run id [default: from the workflow and its input]",
)
@click.option("--detach", is_flag=True, help="Start the run, print its id, and do not wait.")
@click.option("--follow", is_flag=True, help="Print the run's records as they are written.")
@click.option(
    "--timeout", metavar="TIME", default=None, help="Maximum time to wait; the run continues."
)
@click.option("--json", "as_data", is_flag=True, help="Print the result as JSON.")
@database_options
def run(
    *,
    app: str,
    pairs: Sequence[str],
    given: str | None,
    run_id: str | None,
    detach: bool,
    follow: bool,
    timeout: str | None,
    as_data: bool,
    db: str | None,
    url: str | None,
) -> int:
    """Start a workflow and wait for its result.

    APP is file.py or package.module; with --url, the name of a workflow on the server is
    enough.
    The same workflow with the same input is the same run: the command continues it, or prints
    its result. Use --id to start another run.
    """
    if detach and (follow or timeout is not None):
        raise UsageError("--detach does not wait: it cannot be combined with --follow or --timeout")
    place = target_of(db, None) if url is None else place_of(db, url)
    if isinstance(place, Server):
        flow: Flow = run_loop(flow_there(place, app, pairs, given))
    else:
        flow = flow_here(place, app, pairs, given)
    name = flow.default_id() if run_id is None else run_id
    plan = Plan(
        flow=flow,
        id=check_name("a run id", name, limits.ID_CHARS_MAX),
        command=f"{program_name()} run {app}",
        follows=follow,
        as_data=as_data,
        timeout=None if timeout is None else seconds_option("--timeout", timeout),
    )
    if detach:
        return run_loop(_detach(plan))
    code = run_loop(_attend(plan))
    if code >= 128:
        # A step on a thread may still be busy, and Python would wait for it. All is safe on disk.
        sys.stdout.flush()
        os._exit(code)
    return code


# -------------------------------------------------------------------------- detached
async def _detach(plan: Plan) -> int:
    flow = plan.flow
    if isinstance(flow, There):
        async with client_of(flow.server) as client:
            at_server = await _start_there(client, flow, plan.id)
        started = Started(at_server.id, at_server.created, has_code=True)
    else:
        started = await _commit_start(flow, plan.id)
    if plan.as_data:
        told = {"id": started.id, "workflow": flow.name, "created": started.created}
        say(as_json(told))
    else:
        say(started.id)
    if not started.created:
        note("the run already exists")
    elif not started.has_code:
        note(
            f"the run waits for an engine that has {flow.name}; see "
            f"`{command_line('why', started.id)}`"
        )
    return 0


async def _commit_start(flow: Here, run_id: str) -> Started:
    async def commit(engine: Verbs) -> Started:
        if isinstance(engine, Client):
            return await flow.start_at(engine, run_id)
        started = await engine.start(flow.call(), id=run_id)
        return Started(started.id, started.created, has_code=False)

    return (await write(flow.target, commit)).value


async def _start_there(client: Client, flow: There, run_id: str) -> RemoteRun[object]:
    try:
        return await client.start(flow.name, flow.input, id=run_id)
    except DecodingError as error:
        raise unfit(flow, error) from None


# -------------------------------------------------------------------------- attended
async def _attend(plan: Plan) -> int:
    stop = _Stop()
    try:
        async with asyncio.timeout(plan.timeout):
            pauses = iter(_PAUSES)
            while True:
                try:
                    return await _once(plan, stop)
                except OwnerGone:
                    note("the engine that executed the run has stopped; this process continues it")
                    pauses = iter(_PAUSES)
                except StoreLocked:
                    # Its owner does not listen: it has just opened it, or is about to leave.
                    pause = next(pauses, None)
                    if pause is None:
                        raise
                    await asyncio.sleep(pause)
    except TimeoutError:
        if not stop.has_started:
            raise WaitTimeout(
                f"run {plan.id!r} was not started within {text_of(plan.timeout or 0)}"
            ) from None
        raise WaitTimeout(
            f"run {plan.id!r} did not end within {text_of(plan.timeout or 0)}; "
            f"`{command_line('why', plan.id)}` shows what it is waiting for"
        ) from None
    except Interrupted:
        note(
            f"stopped waiting for run {safe_line(plan.id)}; no progress is lost: repeat the "
            f"command (`{safe_line(plan.command)} ...`) to continue it or print its result; "
            f"`{command_line('why', plan.id)}` shows its state"
        )
        return 128 + stop.number


async def _once(plan: Plan, stop: _Stop) -> int:
    flow = plan.flow
    if isinstance(flow, There):
        return await _at_server(plan, flow, stop)
    path = Path(flow.target.name)
    try:
        async with Engine(flow.target, flow.options, default_registry) as engine:
            started = await stop.unless(engine.start(flow.call(), id=plan.id))
            _announce(plan, stop, created=started.created)
            code = await _ended(plan, started, stop)
            if stop.number:
                raise Interrupted
            return code
    except StoreLocked as locked:
        return await _through_owner(plan, flow, path, stop, locked)


async def _at_server(plan: Plan, flow: There, stop: _Stop) -> int:
    async with client_of(flow.server) as client:
        started = await stop.unless(_start_there(client, flow, plan.id))
        _announce(plan, stop, created=started.created)
        return await _ended(plan, started, stop)


async def _through_owner(
    plan: Plan, flow: Here, path: Path, stop: _Stop, locked: StoreLocked
) -> int:
    started, pid = await _start_at_owner(flow, plan.id, path, locked)
    _announce(plan, stop, created=started.created)
    if not started.has_code:
        note(
            f"process {pid} owns the database and does not have {flow.name}: the run stays "
            "parked until an engine that has it opens the database; waiting"
        )
    target = replace(flow.target, read_only=True)
    async with Engine(target, flow.options, default_registry) as engine:
        watch = asyncio.ensure_future(_owner_leaves(path))
        try:
            parked: Literal["raise", "wait"] = "raise" if started.has_code else "wait"
            return await _ended(plan, engine.get(plan.id), stop, watch, parked)
        finally:
            watch.cancel()


async def _start_at_owner(
    flow: Here, run_id: str, path: Path, locked: StoreLocked
) -> tuple[Started, int]:
    # It drains, or has just gone: we may be the owner soon. A start under an id may be repeated.
    with contextlib.suppress(EngineClosed, StoreUnavailable):
        owner = await owner_of(path)
        if owner is not None:
            async with owner.client as client:
                return await flow.start_at(client, run_id), owner.process
    raise locked


async def _owner_leaves(path: Path) -> None:
    while True:
        await asyncio.sleep(_OWNER_SECONDS)
        owner = await owner_of(path)
        if owner is None:
            return
        async with owner.client:
            pass


async def _ended(
    plan: Plan,
    run: AnyRun,
    stop: _Stop,
    owner: asyncio.Future[None] | None = None,
    parked: Literal["raise", "wait"] = "raise",
) -> int:
    """Wait for the end of the run and print it; return the exit code."""
    status = Status()
    watch = asyncio.ensure_future(_watch(plan, run, status))
    try:
        value = await stop.unless(run.result(parked=parked), owner)
    except (RunError, Interrupted) as error:
        watch.cancel()
        await _show_rest(plan, run, watch)
        status.clear()
        if isinstance(error, RunError):
            return _failed(error)
        raise
    finally:
        watch.cancel()
        status.clear()
    await _show_rest(plan, run, watch)
    data = plan.flow.json_of(value)
    if plan.as_data:
        say(as_json(data))
    elif data is not None:
        say(shown(data))
    return 0


def _failed(error: RunError) -> int:
    note(f"error: {safe_text(f'{error}')}")
    if isinstance(error, RunFailed):
        note(f"`{command_line('show', error.run_id)}` shows its records and the traceback")
    return 1


def _announce(plan: Plan, stop: _Stop, *, created: bool) -> None:
    """Say what was started, once: after its owner has gone it is the same run."""
    was_started, stop.has_started = stop.has_started, True
    if was_started:
        return
    if created:
        note(f"run {safe_line(plan.id)}")
    else:
        note(
            f"run {safe_line(plan.id)} was started before: the same workflow with the same input "
            "is the same run (use --id to start another)"
        )


# --------------------------------------------------------------------------- meanwhile
async def _watch(plan: Plan, run: AnyRun, status: Status) -> int:
    """Show how the run gets on; never returns but by being cancelled."""
    after = 0
    with contextlib.suppress(asyncio.CancelledError):
        while plan.follows or sys.stderr.isatty():
            if plan.follows:
                after = await _follow(run, after)
            else:
                info = await run.info()
                status.show(f"{info.steps} steps, {await run.why()}")
            await asyncio.sleep(limits.SUMMARY_SECONDS)
    return after


async def _show_rest(plan: Plan, run: AnyRun, watch: asyncio.Future[int]) -> None:
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        after = await watch
        if plan.follows:
            await _follow(run, after)


async def _follow(run: AnyRun, after: int) -> int:
    async for record in run.journal(after):
        note(record_line(record))
        after = record.seq
    return after


class _Stop:
    """Ctrl-C and SIGTERM: the first one stops in good order, the second at once."""

    def __init__(self) -> None:
        self.number = 0
        self.has_started = False
        self._asked_at = 0.0
        loop = asyncio.get_running_loop()
        self._asked: asyncio.Future[None] = loop.create_future()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)

    def _stop(self, number: signal.Signals) -> None:
        now = asyncio.get_running_loop().time()
        if self.number:
            if now - self._asked_at > limits.SIGNAL_ECHO_SECONDS:
                os._exit(128 + number)
            return
        self.number = number
        self._asked_at = now
        note("\nstopping: waiting for steps in flight; press Ctrl-C again to stop immediately")
        self._asked.set_result(None)

    async def unless(
        self,
        work: Coroutine[object, object, R],
        owner: asyncio.Future[None] | None = None,
    ) -> R:
        """Return what `work` returns.

        Raises:
            Interrupted: we were asked to stop first; OwnerGone: the owner left first.
        """
        task = asyncio.ensure_future(work)
        waiting: set[asyncio.Future[R] | asyncio.Future[None]] = {task, self._asked}
        if owner is not None:
            waiting.add(owner)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            task.cancel()
        raise Interrupted if self._asked.done() else OwnerGone
