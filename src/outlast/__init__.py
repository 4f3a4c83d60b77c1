"""outlast: workflows and agents that outlast the process that runs them.

The public names, and nothing else. Each is imported when it is first asked for, so that a command
which needs one error class does not pay for an engine; `__init__.pyi` declares them for type
checkers.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_NAMES = {
    "_actors": (
        "Actor",
        "Child",
        "Supervisor",
        "Topic",
        "actor",
        "handler",
    ),
    "_authoring.step": (
        "Step",
        "error",
        "step",
        "this_step",
    ),
    "_authoring.stored": (
        "codec",
        "evolve",
    ),
    "_authoring.workflow": (
        "Workflow",
        "wf",
        "workflow",
    ),
    "_engine.reading.diffs": (
        "DiffRow",
        "RunDiff",
    ),
    "_engine.reading.records": ("Record",),
    "_execution.bodies.context": ("StepContext",),
    "_handles.actor_ref": (
        "ActorRef",
        "Handler",
    ),
    "_handles.call": (
        "Call",
        "Err",
        "Ok",
    ),
    "_handles.declarations": (
        "Signal",
        "Stream",
        "Update",
        "Value",
    ),
    "_handles.run": ("Run",),
    "_handles.tokens": ("Token",),
    "_registry": ("Registry",),
    "app": ("App",),
    "engine": (
        "Engine",
        "run",
    ),
    "errors": (
        "ActorError",
        "ActorNotFound",
        "ActorBusy",
        "ActorParked",
        "ActorStopped",
        "AskTimeout",
        "CallCycle",
        "CallReused",
        "ChildFailed",
        "CommitUnknown",
        "DeadLetterNotFound",
        "DecodingError",
        "DigestMismatch",
        "DurationError",
        "EncodingError",
        "EngineClosed",
        "HandlerFailed",
        "IdempotencyMismatch",
        "LeaseLost",
        "MailboxFull",
        "NotDeterministic",
        "NotInRun",
        "NotSupported",
        "OutcomeUnknown",
        "OutlastError",
        "Passivating",
        "PayloadTooLarge",
        "QueryError",
        "RegistrationError",
        "ReplayMismatch",
        "RunCancelled",
        "RunClosed",
        "RunError",
        "RunExists",
        "RunFailed",
        "RunNotFound",
        "RunParked",
        "RunTerminated",
        "RunTimedOut",
        "Shutdown",
        "SignalConflict",
        "StepError",
        "StepFailed",
        "StepTimeout",
        "StoreCodecError",
        "StoreDamaged",
        "StoreError",
        "StoreFull",
        "StoreLocked",
        "StoreMissing",
        "StoreReadOnly",
        "StoreTooNew",
        "StoreUnavailable",
        "TeamNotFound",
        "TurnInterrupted",
        "TokenAnswered",
        "TokenClosed",
        "TokenError",
        "TokenExpired",
        "TokenNotFound",
        "UnknownActor",
        "UnknownSignal",
        "UnknownTopic",
        "UnknownWorkflow",
        "UpdateAborted",
        "UpdateConflict",
        "UpdateError",
        "UpdateFailed",
        "UpdateRejected",
        "UsageError",
        "WaitTimeout",
        "WrongApprover",
    ),
    "mounting": ("asgi",),
    "secret": ("Secret",),
    "types": (
        "ActorInfo",
        "Applied",
        "Approval",
        "AuditInfo",
        "BulkOutcome",
        "DeadLetterInfo",
        "Duration",
        "MemberInfo",
        "RerunChild",
        "RerunPlan",
        "RerunSignal",
        "RerunStep",
        "RerunToken",
        "Retry",
        "RunInfo",
        "Status",
        "Stopped",
        "StreamEvent",
        "TeamInfo",
        "Timeout",
        "TokenInfo",
    ),
}
# Modules that are part of the public face, and need no import statement of their own.
_MODULES = ("client", "errors", "limits", "telemetry", "testing", "types")
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

# What a star imports; type checkers read the list of `__init__.pyi`.
globals().update(__all__=["__version__", *_HOMES])


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"outlast.{name}")
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"outlast.{home}"), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
