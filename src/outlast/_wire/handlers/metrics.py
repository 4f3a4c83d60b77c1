"""Figures in the text form of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from outlast._events import BOUNDS, NANODOLLARS, Events, Histogram, ModelCalls
from outlast._wire.service import Service
from outlast._world import memory_bytes
from outlast.types import ProviderInfo

_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("commits", "commits_total", "Commits of the store."),
    ("runs_started", "runs_started_total", "Runs started."),
    ("runs_closed", "runs_closed_total", "Runs that have ended."),
    ("runs_activated", "runs_activated_total", "Runs and actors brought into memory."),
    ("runs_passivated", "runs_passivated_total", "Runs and actors removed from memory."),
    ("runs_parked", "runs_parked_total", "Runs parked until an operator resumes them."),
    ("steps_executed", "steps_executed_total", "Step bodies that have ended."),
    ("attempts_failed", "attempts_failed_total", "Attempts that failed."),
    ("fenced", "fenced_total", "Writes refused because the lease was lost."),
    ("store_errors", "store_errors_total", "Commits that had to be retried."),
    ("loop_blocked", "loop_blocked_total", "Times that the event loop was blocked."),
    ("collections", "gc_collections_total", "Garbage collections in idle moments."),
)


def prometheus(service: Service) -> str:
    """Return the server's metrics."""
    return "\n".join(_lines(service)) + "\n"


def _lines(service: Service) -> Iterator[str]:
    events = service.core.events
    for attribute, name, text in _COUNTERS:
        value: object = getattr(events, attribute)
        yield from _metric(name, "counter", text, value)
    yield "# HELP outlast_runs_ended_total Runs that have ended, by workflow and status."
    yield "# TYPE outlast_runs_ended_total counter"
    for (workflow, status), count in sorted(events.ended.items()):
        labels = f'workflow="{_escaped(workflow)}",status="{status}"'
        yield f"outlast_runs_ended_total{{{labels}}} {count}"
    yield from _model_calls(events)
    scheduler = service.core.scheduler
    gauges: tuple[tuple[str, str, object], ...] = (
        ("runs_in_memory", "Runs and actors in memory.", len(scheduler.residents)),
        ("steps_running", "Step bodies now executing.", len(scheduler.bodies)),
        ("gc_pause_seconds_max", "The longest collection.", events.collection_seconds_max),
        ("process_memory_bytes", "Memory of this process.", memory_bytes()),
        ("http_requests_in_work", "Requests in progress.", service.admission.working),
        ("http_streams_open", "Open event streams.", len(service.clients.open)),
        ("store_log_bytes", "Bytes of the write-ahead log in use.", service.core.store.log_bytes),
        ("ready", "Whether this server executes runs.", int(service.state == "ready")),
    )
    for name, text, value in gauges:
        yield from _metric(name, "gauge", text, value)
    yield from _of_providers(service)
    refused = "Requests rejected because too many were in progress."
    yield from _metric("http_refused_total", "counter", refused, service.admission.refused)
    yield from _histogram("step_seconds", "Duration of step bodies.", events.step_seconds)
    yield from _histogram("commit_seconds", "Duration of commits.", events.commit_seconds)
    yield from _histogram("loop_lag_seconds", "Lag of the event loop.", service.figures.lag)


def _of_providers(service: Service) -> Iterator[str]:
    infos = service.core.provider_queues.infos()
    told: tuple[tuple[str, str, Callable[[ProviderInfo], int]], ...] = (
        ("waiting", "Requests to models that wait for their turns.", lambda info: info.waiting),
        ("requests", "Requests sent in the last minute.", lambda info: info.requests_used),
        ("tokens", "Tokens used in the last minute.", lambda info: info.tokens_used),
    )
    for name, text, figure in told if infos else ():
        yield f"# HELP outlast_provider_{name} {text}"
        yield f"# TYPE outlast_provider_{name} gauge"
        for info in infos:
            yield f'outlast_provider_{name}{{provider="{_escaped(info.name)}"}} {figure(info)}'


def _model_calls(events: Events) -> Iterator[str]:
    series: tuple[tuple[str, str, Callable[[ModelCalls], object]], ...] = (
        ("requests_total", "Responses of models to agents.", lambda it: it.requests),
        ("input_tokens_total", "Input tokens of agents.", lambda it: it.input_tokens),
        ("output_tokens_total", "Output tokens of agents.", lambda it: it.output_tokens),
        ("usd_total", "Dollars, of requests with a known price.", lambda it: it.usd / NANODOLLARS),
        ("unpriced_total", "Requests whose price is not known.", lambda it: it.unpriced),
    )
    for name, text, value in series:
        yield f"# HELP outlast_model_{name} {text}"
        yield f"# TYPE outlast_model_{name} counter"
        for (agent, model), calls in sorted(events.model_calls.items()):
            labels = f'agent="{_escaped(agent)}",model="{_escaped(model)}"'
            yield f"outlast_model_{name}{{{labels}}} {value(calls)}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _metric(name: str, kind: str, text: str, value: object) -> Iterator[str]:
    yield f"# HELP outlast_{name} {text}"
    yield f"# TYPE outlast_{name} {kind}"
    yield f"outlast_{name} {value}"


def _histogram(name: str, text: str, histogram: Histogram) -> Iterator[str]:
    yield f"# HELP outlast_{name} {text}"
    yield f"# TYPE outlast_{name} histogram"
    seen = 0
    for bound, count in zip(BOUNDS, histogram.counts, strict=False):
        seen += count
        yield f'outlast_{name}_bucket{{le="{bound:g}"}} {seen}'
    yield f'outlast_{name}_bucket{{le="+Inf"}} {histogram.count}'
    yield f"outlast_{name}_sum {histogram.total:.6f}"
    yield f"outlast_{name}_count {histogram.count}"
