"""`outlast serve` and `outlast dev`: the engine as a service."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from outlast import limits
from outlast._built import BUILT
from outlast._engine.open_engine import CoreOptions
from outlast._engine.opening import Target
from outlast._registry import default_registry
from outlast._server.access import Access
from outlast._server.codes import SignInCodes
from outlast._server.guard import Addresses, Guard
from outlast._server.relay import Relay
from outlast._server.serving import Serving
from outlast._server.static import Static
from outlast._server.tcp import TcpServer, Tls, listen
from outlast._server.tokenfile import TokenFile
from outlast._store.sqlite.files.write_ahead_log import make_directory
from outlast._wire.security.connections import Connections
from outlast._world import RealWorld
from outlast.cli.inputs import seconds_option
from outlast.cli.loading import options_of
from outlast.cli.places import log_file_of, target_of, token_file_of
from outlast.cli.printing import note, safe_line
from outlast.cli.server.reloading import is_reloaded, run_and_reload
from outlast.client.local import owner_of
from outlast.engine import Engine, run_loop
from outlast.errors import StoreError, StoreLocked, UsageError
from outlast.telemetry import write_logs

F = TypeVar("F", bound=Callable[..., object])
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DEV_GRACE = "2s"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve, and how."""

    app: str | None
    target: Target
    host: str
    port: int
    token_file: Path
    grace_seconds: float
    workers: int | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    tls: Tls | None = None
    is_dev: bool = False
    logs_json: bool = False

    def url(self, port: int) -> str:
        """Return where the server is, as people type it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{port}"


def _server_options(command: F) -> F:
    """Add what `serve` and `dev` both take."""
    for option in (
        click.option(
            "--grace",
            metavar="TIME",
            default=None,
            help="Time for steps to finish when the server stops.",
        ),
        click.option(
            "--token-file",
            "token_file",
            metavar="PATH",
            default=None,
            help="File of API tokens, created with mode 0600 if missing [default: next to the "
            "database]",
        ),
        click.option(
            "--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="Port."
        ),
        click.option("--host", default="127.0.0.1", show_default=True, help="Listen address."),
        click.option("--db", metavar="URL", default=None, help="Database [default: the project's]"),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("app", metavar="[APP]", required=False)
@_server_options
@click.option(
    "--workers", type=click.IntRange(min=1), default=None, help="Number of step processes."
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Accept requests for this host name.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Accept browser requests from this origin.",
)
@click.option("--behind-proxy", is_flag=True, help="A proxy in front of the server handles TLS.")
@click.option("--tls-cert", "certificate", metavar="FILE", default=None, help="Certificate (PEM).")
@click.option("--log-json", "log_json", is_flag=True, help="Write the log to stderr as JSON lines.")
@click.option("--tls-key", "key", metavar="FILE", default=None, help="Private key (PEM).")
def serve(
    *,
    app: str | None,
    db: str | None,
    host: str,
    port: int,
    token_file: str | None,
    grace: str | None,
    workers: int | None,
    hosts: Sequence[str],
    origins: Sequence[str],
    behind_proxy: bool,
    certificate: str | None,
    key: str | None,
    log_json: bool,
) -> int:
    """Run an engine and serve it over HTTP.

    APP is file.py or package.module. Without APP the server executes nothing: if another
    process has the database open, it serves that process's engine; otherwise it shows the stored
    data and stores signals and answers for the next engine that has the code.
    """
    if app is None and BUILT is not None:
        app = BUILT.app
    if (certificate is None) != (key is None):
        raise UsageError("--tls-cert and --tls-key must be given together")
    tls = Tls(Path(certificate), Path(key)) if certificate is not None and key is not None else None
    if host not in _LOOPBACK and tls is None and not behind_proxy:
        raise UsageError(
            f"other machines can reach {host}, and without TLS the API token can be read on the "
            "network: give --tls-cert and --tls-key, or --behind-proxy if a proxy handles TLS"
        )
    plan = _plan(app, db, host, port, token_file, grace)
    return _serve(
        replace(
            plan,
            workers=workers,
            allowed_hosts=tuple(hosts),
            allowed_origins=tuple(origins),
            tls=tls,
            logs_json=log_json,
        )
    )


@click.command()
@click.argument("app", metavar="APP")
@_server_options
@click.option("--no-reload", is_flag=True, help="Do not reload when a file changes.")
def dev(
    *,
    app: str,
    db: str | None,
    host: str,
    port: int,
    token_file: str | None,
    grace: str | None,
    no_reload: bool,
) -> int:
    """Serve APP on this machine, reload it when its code changes, and print a dashboard link.

    APP is file.py or package.module.
    """
    if host not in _LOOPBACK:
        raise UsageError(
            f"`outlast dev` listens only on this machine, not on {host}: use `outlast serve`"
        )
    plan = replace(_plan(app, db, host, port, token_file, grace or _DEV_GRACE), is_dev=True)
    return _serve(plan) if no_reload or is_reloaded() else run_and_reload(app)


def _plan(
    app: str | None, db: str | None, host: str, port: int, token_file: str | None, grace: str | None
) -> Plan:
    target = target_of(db, None)
    return Plan(
        app=app,
        target=target,
        host=host,
        port=port,
        token_file=token_file_of(token_file, target),
        grace_seconds=(
            limits.DRAIN_GRACE_SECONDS if grace is None else seconds_option("--grace", grace)
        ),
    )


def _serve(plan: Plan) -> int:
    directory = Path(plan.target.name).absolute().parent
    try:
        make_directory(directory)
    except StoreError as error:
        raise UsageError(f"{error}; give --db") from None
    write_logs(log_file_of(plan.target), as_json=plan.logs_json)
    options = replace(options_of(plan.app), step_processes=plan.workers)
    tokens = TokenFile(plan.token_file)
    admin = tokens.admin()
    run_loop(_run(plan, options, tokens, admin, listen(plan.host, plan.port)))
    return 0


async def _run(
    plan: Plan, options: CoreOptions, tokens: TokenFile, admin: str, listener: socket.socket
) -> None:
    owner = await owner_of(Path(plan.target.name)) if plan.app is None else None
    if owner is None:
        try:
            await _run_engine(plan, options, tokens, admin, listener)
        except StoreLocked:
            note(
                "to serve that process's runs, use `outlast serve` without APP; if the process "
                "is an `outlast run` that took over from a stopped server, it releases the "
                "database when its run ends"
            )
            raise
        return
    await owner.client.__aexit__(None, None, None)
    await _run_relay(plan, tokens, owner.process, listener)


async def _run_relay(plan: Plan, tokens: TokenFile, owner: int, listener: socket.socket) -> None:
    """Serve beside the engine that owns the database: what is asked is answered by that one."""
    port: int = listener.getsockname()[1]
    world = RealWorld()
    access = Access(tokens, time.monotonic)
    relay = Relay(Path(plan.target.name), world, access, Static())
    app = Guard(relay, _addresses(plan, port))
    tcp = TcpServer(app, Connections(world, by_address=True), listener, plan.tls)
    ended = tcp.begin(handles_signals=True)
    note(f"serving the engine of process {owner} at {plan.url(port)} (process {os.getpid()})")
    note(f"API token: {safe_line(_token_source(plan))}")
    stopped = asyncio.ensure_future(tcp.stopped.wait())
    await asyncio.wait([stopped, ended], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await tcp.end()


def _addresses(plan: Plan, port: int) -> Addresses:
    return Addresses.of(plan.host, port, allowed=plan.allowed_hosts, origins=plan.allowed_origins)


async def _run_engine(
    plan: Plan, options: CoreOptions, tokens: TokenFile, admin: str, listener: socket.socket
) -> None:
    port: int = listener.getsockname()[1]
    async with Engine(plan.target, options, default_registry) as engine:
        addresses = _addresses(plan, port)
        codes = SignInCodes(admin, time.monotonic, partial(_print_link, plan, port))
        access = Access(tokens, time.monotonic, codes if plan.is_dev else None)
        serving = Serving(engine, access, addresses, listener, tls=plan.tls)
        serving.service.log_file = log_file_of(plan.target)
        await serving.run(
            on_ready=lambda: _announce(plan, port, codes), grace_seconds=plan.grace_seconds
        )
    core = serving.service.core
    failure = core.events.fatal or core.store.fault
    if failure is not None:
        raise failure  # what supervises the process must not take this for a clean end


def _announce(plan: Plan, port: int, codes: SignInCodes) -> None:
    url = plan.url(port)
    what = (
        plan.app
        if plan.app is not None
        else ("stored data only (no code is loaded, so nothing is executed)")
    )
    note(f"serving {safe_line(what)} at {url} (process {os.getpid()})")
    note(f"API token: {safe_line(_token_source(plan))}")
    if plan.is_dev:
        _print_link(plan, port, codes.new())


def _print_link(plan: Plan, port: int, code: str) -> None:
    """Print a link that signs in once: browsers keep the addresses that they are given."""
    note(f"dashboard: {plan.url(port)}/#code={code}")


def _token_source(plan: Plan) -> str:
    """Return where the token is found; itself it is printed by `dev` only."""
    return "OUTLAST_TOKEN" if "OUTLAST_TOKEN" in os.environ else f"{plan.token_file}"
