"""Fifty canaries through every sink: none is found in it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from outlast import EncodingError, Engine, Secret, step, this_step, workflow
from outlast.telemetry.logs import JsonLines
from outlast.telemetry.tracing import RunIds
from tests.unit.wire.served import Served, serving

MARK = "c4n4ry"
log = logging.getLogger("secrets")


class Refused(Exception):
    """An error with data of its own."""

    def __init__(self, message: str, request: object) -> None:
        super().__init__(message)
        self.request = request


@dataclass(frozen=True, slots=True)
class Vault:
    """Fifty secrets: plain, with characters that are escaped, as bytes, and long."""

    keys: tuple[Secret[str | bytes], ...]

    def text(self, number: int) -> str:
        value = self.keys[number].reveal()
        return value if isinstance(value, str) else value.decode()


def make_vault() -> Vault:
    made: list[Secret[str | bytes]] = []
    for number in range(50):
        text = f"{number}-{MARK}-{number * 7919}"
        forms: tuple[str | bytes, ...] = (
            text,
            f'{text}"\n\\',
            text.encode(),
            text * 100,
            f"é{text}",
        )
        made.append(Secret(forms[number % 5]))
    return Vault(tuple(made))


def in_message(text: str) -> None:
    raise ValueError(f"the service refused {text}")


def in_repr(text: str) -> None:
    raise KeyError(text)


def in_data(text: str) -> None:
    raise Refused("refused", {"headers": {"authorization": [text]}, "body": text.encode()})


def in_cause(text: str) -> None:
    try:
        in_message(text)
    except ValueError as error:
        raise LookupError("no luck") from error


def in_group(text: str) -> None:
    raise ExceptionGroup(f"both of {text}", [ValueError(text), KeyError(text)])


def in_long_text(text: str) -> None:
    raise ValueError(f"{'x' * 8_000}{text * 3}{'y' * 200_000}")


def in_logs(text: str) -> None:
    log.warning("calling with %s", text)
    try:
        in_message(text)
    except ValueError:
        log.exception("could not call with %r", text)


LEAKS: tuple[Callable[[str], None], ...] = (
    in_message,
    in_repr,
    in_data,
    in_cause,
    in_group,
    in_long_text,
    in_logs,
)


@step
async def secrets_leak(number: int) -> None:
    LEAKS[number % len(LEAKS)](this_step().resource(Vault).text(number))


@step
def secrets_leak_on_a_thread(number: int) -> None:
    LEAKS[(number + 1) % len(LEAKS)](this_step().resource(Vault).text(number))


@step
async def secrets_return(number: int) -> object:
    return {"key": this_step().resource(Vault).keys[number]}


@workflow
async def secrets_leaking(number: int) -> None:
    try:
        await secrets_return(number)
    except EncodingError as refused:
        log.info("refused: %s", refused)
    await secrets_leak(number)
    await secrets_leak_on_a_thread(number)


async def test_fifty_canaries_are_in_no_sink(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=RunIds())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    engine = Engine.open(tmp_path / "served.db", resources={Vault: make_vault}, tracing=provider)
    async with serving(tmp_path, engine=engine) as server:
        sinks = await _answers(server)
        sinks["cli"] = await _commands(server, tmp_path)
        sinks["journal"] = _files(tmp_path)
    spans = exporter.get_finished_spans()
    sinks["spans"] = "".join(span.to_json() for span in spans)
    sinks["logs"] = "\n".join(JsonLines().format(record) for record in caplog.records)

    assert len(spans) >= 100
    assert sinks["cli"].count("[redacted]") > 3
    assert sinks["journal"].count("[redacted]") > 50
    assert sinks["logs"].count("[redacted]") > 10
    assert sinks["spans"].count("[redacted]") > 50
    assert sinks["http"].count("[redacted]") > 100
    assert [name for name, text in sinks.items() if MARK in text] == []


def _files(directory: Path) -> str:
    files = [file for file in sorted(directory.glob("served.db*")) if file.is_file()]
    return "".join(file.read_bytes().decode("latin-1") for file in files)


async def _answers(server: Served) -> dict[str, str]:
    """Run them all, and return what HTTP says of them."""
    for number in range(50):
        started = await server.request(
            "POST",
            "/v1/workflows/secrets_leaking/runs",
            {"input": {"number": number}, "id": f"r{number}"},
        )
        assert started.status == 201, started.body
    bodies: list[bytes] = []
    for number in range(50):
        for path in ("/result", "", "/journal", "/why"):
            bodies.append((await server.request("GET", f"/v1/runs/r{number}{path}")).body)
    metrics = await server.request("GET", "/metrics")
    return {
        # Escapes of JSON are undone, for one that is escaped twice still holds the mark.
        "http": json.dumps([body.decode() for body in bodies]),
        "metrics": metrics.body.decode(),
    }


async def _commands(server: Served, directory: Path) -> str:
    said = b""
    for command in (
        ("show", "r0"),
        ("why", "r1"),
        ("show", "r2", "--json"),
        ("tail", "r3", "--json"),
        ("ls",),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "outlast", *command, "--url", f"http://127.0.0.1:{server.port}"),
            env={"OUTLAST_TOKEN": server.token, "PYTHONPATH": ":".join(sys.path)},
            cwd=directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        said += out + err
    return said.decode()
