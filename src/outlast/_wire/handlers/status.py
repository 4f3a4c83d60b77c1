"""Handlers of the server itself: health, figures, who asks, what there is to start."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from starlette.responses import PlainTextResponse, Response

from outlast import limits
from outlast._engine.reading.queries import moment_of
from outlast._engine.reading.records import moment
from outlast._logfile import Wanted, read_log, read_log_before
from outlast._registry import NameDefinition, WorkflowDefinition, cached_version_of
from outlast._wire.formats.answers import answer
from outlast._wire.formats.problems import Problem
from outlast._wire.handlers.metrics import prometheus
from outlast._wire.requests import Call, bad_query
from outlast._wire.service import Service
from outlast._world import memory_bytes, process_id
from outlast.errors import StoreFull


async def healthz(_: Service, __: Call) -> Response:
    """Check that the process is alive."""
    return PlainTextResponse("ok")


async def readyz(service: Service, _: Call) -> Response:
    """Check whether the server executes runs."""
    core = service.core
    trouble = core.events.fatal or core.writer.trouble or core.store.fault
    if service.state != "ready":
        return answer({"state": service.state, "detail": f"the server is {service.state}"}, 503)
    if trouble is not None:
        state = "store-full" if isinstance(trouble, StoreFull) else "store-trouble"
        return answer({"state": state, "detail": f"{trouble}"}, 503)
    if core.store.is_verifying:
        detail = "runs are executed; the large database is still being checked for damage"
        return answer({"state": "verifying", "detail": detail})
    return answer({"state": "ready", "detail": ""})


async def session(_: Service, call: Call) -> Response:
    """Return the caller and the answering process."""
    caller = call.caller
    return answer({"name": caller.name, "role": caller.role, "process": process_id()})


class SignInBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page sends that was opened by a link: the link's code."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


async def sign_in(_: Service, call: Call) -> Response:
    """Exchange a link's single-use code for the API token."""
    return await sign_in_of(call)


async def sign_in_of(call: Call) -> Response:
    """Answer `sign_in`; this needs only the token check."""
    body = await call.read(SignInBody)
    address = call.request.client.host if call.request.client else ""
    token, caller = call.callers.token_for(body.code, address)
    told = {"token": token, "name": caller.name, "role": caller.role}
    return answer(told, headers={"Cache-Control": "no-store"})


async def metrics(service: Service, _: Call) -> Response:
    """Return the server's metrics in the format of Prometheus."""
    return Response(prometheus(service), media_type="text/plain; version=0.0.4; charset=utf-8")


async def providers(service: Service, _: Call) -> Response:
    """Return the limits of providers of models: what is used of them, and how many wait."""
    return answer({"providers": service.core.provider_queues.infos()})


async def overview(service: Service, call: Call) -> Response:
    """Return an overview of the server."""
    return answer({**await overview_of(service), "role": call.caller.role})


async def overview_of(service: Service) -> Mapping[str, object]:
    """Return the same for whoever asks."""
    core = service.core
    counts = await core.reader.counts()
    return {
        "version": service.version,
        "store": service.store_name,
        "started_at": service.started_at,
        "state": service.state,
        "counts": counts,
        "approvals": await core.tokens.reader.count(limits.HTTP_PAGE_MAX),
        "dead_letters": await core.store.count_dead(),
        "latency": service.figures.latency(),
        "rates": service.figures.rates(),
        "memory_bytes": memory_bytes(),
        "store_log_bytes": core.store.log_bytes,
        "runs_in_memory": len(core.scheduler.residents),
    }


async def logs(service: Service, call: Call) -> Response:
    """Return log lines of one run, or of all runs and the engine, oldest first."""
    file = service.log_file
    if file is None:
        raise Problem(404, "not-found", "this server does not keep a log; `outlast serve` does")
    after, tail = call.text("after"), call.text("tail")
    wanted = Wanted(
        run=call.text("run"),
        since=_time_in(service, call, "since"),
        until=_time_in(service, call, "until"),
        size=call.page_size(),
    )
    if tail and (after or wanted.since or wanted.until):
        raise bad_query("tail", "given without `after`, `since` and `until`", tail)
    try:
        if tail:
            return answer(read_log_before(file, "" if tail == "end" else tail, wanted=wanted))
        return answer(read_log(file, after, wanted=wanted))
    except ValueError:
        if tail:
            raise bad_query("tail", "`end`, or the `previous` of a page", tail) from None
        raise bad_query("after", "the `next` of a page", after) from None


def _time_in(service: Service, call: Call, name: str) -> datetime | None:
    at = moment_of(call.text(name) or None, service.core.world.now())
    return None if at is None else moment(at)


async def history(service: Service, _: Call) -> Response:
    """Return the series of the last hour, and what agents have asked of models in it."""
    seconds, used = service.figures.model_use()
    return answer(
        {
            "step_seconds": limits.HISTORY_SECONDS,
            "series": service.figures.history(),
            "models_seconds": round(seconds, 1),
            "models": used,
            "until": service.now(),
        }
    )


async def workflows(service: Service, _: Call) -> Response:
    """List the workflows that can be started."""
    found = service.core.registry.workflows
    return answer({"workflows": [_workflow(found[name]) for name in sorted(found)]})


def _workflow(definition: WorkflowDefinition) -> dict[str, object]:
    return {
        "name": definition.name,
        "version": cached_version_of(definition),
        "doc": inspect.getdoc(definition.fn) or "",
        "input": definition.signature.schema(),
        "result": definition.signature.returns.schema(),
    }


async def signals(service: Service, _: Call) -> Response:
    """List the signals that the program declares."""
    found = service.core.registry.signals
    return answer({"signals": [_signal(found[name]) for name in sorted(found)]})


def _signal(definition: NameDefinition) -> dict[str, object]:
    adapter = definition.adapter
    return {"name": definition.name, "schema": None if adapter is None else adapter.schema()}


async def events(service: Service, call: Call) -> Response:
    """Follow all changes."""
    last_id = call.request.headers.get("last-event-id", "")
    return service.event_stream(service.feed.open(last_id), call)
