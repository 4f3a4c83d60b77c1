"""Spans: one for each run and attempt, once over all lives, in one tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from outlast import Actor, Engine, Retry, Signal, actor, handler, step, this_step, wf, workflow
from outlast.errors import HandlerFailed, RunFailed, UsageError
from outlast.telemetry.metering import metered
from outlast.telemetry.tracing import RunIds, Tracing
from tests.unit.wire.served import serving, until

go = Signal("traced_go", str)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    made = TracerProvider(id_generator=RunIds())
    made.add_span_processor(SimpleSpanProcessor(exporter))
    return made


@step(retry=Retry(attempts=2, first="1ms"))
async def traced_step(name: str) -> str:
    with trace.get_tracer("shop").start_as_current_span(f"inside {name}"):
        if this_step().attempt < 2:
            raise ValueError("again")
    return name


@step
def traced_thread() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


@workflow
async def traced_child() -> str:
    return await traced_thread()


@workflow
async def traced_parent() -> str:
    await traced_step("a")
    await go.receive()
    return await traced_child()


@workflow
async def traced_failing() -> None:
    raise ValueError("no luck")


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name.rpartition(".")[2], []).append(span)
    return found


def ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


async def test_a_run_its_attempts_and_its_children_are_one_tree_made_once_over_two_lives(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    trace.set_tracer_provider(provider)
    async with Engine.open(tmp_path / "x.db", tracing=provider) as engine:
        await engine.start(traced_parent(), id="r")
        await until(lambda: bool(exporter.get_finished_spans()))
    async with Engine.open(tmp_path / "x.db", tracing=provider) as engine:
        run = engine.get("r", traced_parent)
        await run.signal(go, "go")
        seen = await run.result()

    spans = by_name(exporter)
    assert {name: len(found) for name, found in spans.items()} == {
        "traced_step": 2,
        "inside a": 2,
        "traced_thread": 1,
        "traced_child": 1,
        "traced_parent": 1,
    }
    trace_ids = {ids(span)[0] for found in spans.values() for span in found}
    assert [f"{trace_id:032x}" for trace_id in trace_ids] == [seen]
    parents = {
        "traced_step": "traced_parent",
        "traced_thread": "traced_child",
    }
    for child, parent in parents.items():
        for span in spans[child]:
            assert span.parent is not None
            assert span.parent.span_id == ids(spans[parent][0])[1]
    inside = {span.parent.span_id for span in spans["inside a"] if span.parent is not None}
    assert inside == {ids(span)[1] for span in spans["traced_step"]}
    failed, done = sorted(spans["traced_step"], key=lambda s: s.start_time or 0)
    assert (failed.status.is_ok, done.status.is_ok) == (False, True)


async def test_a_run_belongs_to_the_trace_that_it_was_started_in(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    async with Engine.open(tmp_path / "x.db", tracing=provider) as engine:
        with provider.get_tracer("caller").start_as_current_span("call") as call:
            run = await engine.start(traced_failing())
        with pytest.raises(RunFailed):
            await run.result()
    [span] = by_name(exporter)["traced_failing"]
    assert span.parent is not None
    assert span.parent.span_id == call.get_span_context().span_id
    assert "no luck" in f"{span.status.description}"
    assert dict(span.attributes or {})["outlast.status"] == "failed"


async def test_without_ids_that_follow_from_runs_nothing_is_traced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="RunIds"):
        Engine.open(tmp_path / "x.db", tracing=TracerProvider())
    async with Engine.open(tmp_path / "x.db") as engine:
        with pytest.raises(UsageError, match="TracerProvider"):
            Engine.open(tmp_path / "y.db", tracing="yes")
        run = await engine.start(traced_failing())
        assert (await run.info()).attributes == {}


@dataclass
class TracedSum:
    value: int = 0


@actor
class TracedCounter(Actor[TracedSum]):
    @handler
    async def add(self, number: int) -> int:
        if number < 0:
            raise ValueError("less than nothing")
        self.state.value += number
        return self.state.value

    @handler
    async def add_slowly(self, number: int) -> str:
        await wf.actor(TracedCounter, "other").tell(TracedCounter.add, number)
        seen = await traced_thread()
        await wf.actor(TracedCounter, "third").ask(TracedCounter.add, number)
        return seen


@workflow
async def traced_asking() -> str:
    return await wf.actor(TracedCounter, "k").ask(TracedCounter.add_slowly, 2)


async def test_messages_and_their_steps_are_in_the_trace_of_who_sent_them(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    async with Engine.open(tmp_path / "x.db", tracing=provider) as engine:
        with provider.get_tracer("caller").start_as_current_span("call") as call:
            seen = await engine.run(traced_asking())
        await until(lambda: len(by_name(exporter).get("add", ())) == 2)

    spans = by_name(exporter)
    found = [span for name, group in spans.items() for span in group if name != "call"]
    assert {ids(span)[0] for span in found} == {call.get_span_context().trace_id} == {int(seen, 16)}
    assert len({ids(span)[1] for span in found}) == len(found)
    [message], [thread] = spans["add_slowly"], spans["traced_thread"]
    above = {ids(span)[1]: span.name for span in found}
    assert thread.parent is not None
    assert thread.parent.span_id == ids(message)[1]
    parents = [above[s.parent.span_id] for s in (message, *spans["add"]) if s.parent is not None]
    assert parents == ["outlast.ask_actor"] * 3


async def test_a_message_that_nobody_traced_is_a_trace_with_its_steps(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    async with Engine.open(tmp_path / "x.db", tracing=provider) as engine:
        await engine.actor(TracedCounter, "k").ask(TracedCounter.add_slowly, 2)
        await until(lambda: len(by_name(exporter).get("add", ())) == 2)

    [message], [thread] = by_name(exporter)["add_slowly"], by_name(exporter)["traced_thread"]
    assert thread.parent is not None
    assert (thread.parent.trace_id, thread.parent.span_id) == ids(message)


async def test_messages_are_spans_with_their_failures(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    async with Engine.open(tmp_path / "x.db", tracing=provider) as engine:
        counter = engine.actor(TracedCounter, "k")
        assert await counter.ask(TracedCounter.add, 2) == 2
        with pytest.raises(HandlerFailed):
            await counter.ask(TracedCounter.add, -1)
    good, bad = by_name(exporter)["add"]
    assert (good.status.is_ok, bad.status.is_ok) == (True, False)
    assert "less than nothing" in f"{bad.status.description}"
    assert f"{dict(good.attributes or {})['outlast.actor']}".endswith("TracedCounter/k")
    assert (good.end_time or 0) > (good.start_time or 0)


async def test_counters_are_metrics_too(tmp_path: Path) -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader])
    provider = TracerProvider(id_generator=RunIds())
    async with metered(Engine.open(tmp_path / "x.db", tracing=provider), meters) as engine:
        with pytest.raises(RunFailed):
            await engine.run(traced_failing())
        data = reader.get_metrics_data()
    assert data is not None
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    values = {metric.name: next(iter(metric.data.data_points)) for metric in metrics}
    assert getattr(values["outlast.runs_started"], "value", 0) == 1
    assert getattr(values["outlast.memory_bytes"], "value", 0) > 0


async def test_a_client_hands_its_trace_to_the_server(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    async with serving(tmp_path) as server, server.client() as client:
        with provider.get_tracer("caller").start_as_current_span("call") as call:
            run = await client.start(traced_failing())
        found = (await run.info()).attributes["traceparent"]
        await server.request("GET", f"/v1/runs/{run.id}/result")
    assert f"{call.get_span_context().trace_id:032x}" in f"{found}"


async def test_a_message_over_http_is_in_the_trace_of_its_request(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    async with serving(tmp_path) as server:
        Tracing(provider).attach(server.service.core)
        headers = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
        path = "/v1/actors/TracedCounter/k/add"
        reply = await server.request("POST", path, {"number": 2}, headers=headers)
        assert reply.status == 200, reply.body
    [span] = by_name(exporter)["add"]
    assert (f"{ids(span)[0]:032x}", span.parent and f"{span.parent.span_id:016x}") == (
        "1" * 32,
        "2" * 16,
    )
