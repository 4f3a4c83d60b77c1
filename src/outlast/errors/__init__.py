"""Every exception of outlast.

    OutlastError
    ├── UsageError                  the program asks for something that cannot be
    │   ├── NotSupported            a feature that this version does not have
    │   ├── NotInRun                a workflow's verb, used outside a run
    │   ├── NotDeterministic        workflow code reached for chance, time or I/O
    │   ├── CallReused              a call object awaited or started twice
    │   ├── RegistrationError       a step or workflow that cannot be declared like this
    │   ├── UnknownWorkflow         no workflow of this name is registered
    │   ├── UnknownSignal           no signal of this name is declared in the run's code
    │   ├── UnknownTopic            no topic of this name is declared
    │   ├── DurationError           not a length of time (also ValueError)
    │   └── QueryError              a filter that does not parse
    │       └── QueryTooWide        one that takes too long: say more of what is wanted
    ├── EncodingError               a value that cannot be stored
    │   └── PayloadTooLarge
    ├── DecodingError               bytes or JSON that do not fit the declared type
    ├── WaitTimeout                 a wait ran out; what it waited for goes on (also TimeoutError)
    ├── StepError
    │   ├── StepFailed              a step's error whose class is not known here
    │   ├── StepTimeout             an attempt took too long (also TimeoutError)
    │   └── OutcomeUnknown          an at-most-once step may or may not have happened
    ├── RunError                    how a run stands or ended
    │   ├── RunFailed, RunCancelled, RunTerminated, RunTimedOut
    │   ├── RunParked               it needs a person
    │   └── ChildFailed             raised in the parent
    ├── RunNotFound                 (or its retention is over)
    │   └── ActorNotFound, TeamNotFound, DeadLetterNotFound
    ├── RunExists, RunClosed
    ├── IdempotencyMismatch, SignalConflict
    ├── MailboxFull
    ├── TokenError                  nothing came of an answer
    │   ├── TokenNotFound
    │   ├── TokenAnswered           somebody was first
    │   ├── TokenExpired            no answer came in time
    │   ├── TokenClosed             its run has ended
    │   ├── DigestMismatch          the answer is for another question
    │   └── WrongApprover           somebody else must approve this
    ├── UpdateError                 an update of a run gave no result
    │   ├── UpdateRejected          its validator refused it; nothing was changed
    │   ├── UpdateFailed            its handler raised
    │   ├── UpdateAborted           the run ended before its handler did
    │   └── UpdateConflict          its id was used for another update
    ├── ActorError                  what came of a message to an actor
    │   ├── HandlerFailed           its handler raised; nothing was changed
    │   ├── AskTimeout              no answer in time (also TimeoutError)
    │   ├── CallCycle               the one who is asked waits for the asker
    │   ├── ActorStopped            it takes no more messages
    │   ├── ActorBusy               it handles another one, and this one was not to wait
    │   ├── ActorParked             it handles none until it is let go on
    │   ├── TurnInterrupted         a turn of an agent was ended by another message
    │   └── UnknownActor            no class of actors goes by this name here
    ├── BudgetError                 a budget does not allow what an agent was about to do
    │   ├── OverBudget              what is left does not pay for the next call
    │   ├── BudgetUnpriced          the price of a request is not known
    │   └── Looped                  a model asks for the same call again and again
    ├── ReplayMismatch              the code and its journal disagree
    ├── ServerRefused               a server's answer that none of these stands for
    ├── EngineClosed                the engine is draining or closed
    │   └── Shutdown                a step was ended by our own shutdown
    └── StoreError
        ├── StoreLocked, StoreMissing, StoreDamaged, StoreTooNew, StoreReadOnly
        ├── StoreCodecError          the codec does not fit the database
        ├── StoreFull
        ├── StoreBusy               too much is looked up at once
        ├── StoreUnavailable
        │   └── StoreReplaced       a file of the open database was deleted or replaced
        ├── CommitUnknown           the reply to a commit was lost
        └── LeaseLost               another engine owns the run now

    Passivating (BaseException)     the run leaves memory; user code must not stop it

Each class is one decision a caller can make; its facts are attributes; its message says what
happened, why, and what to do.
"""

from __future__ import annotations

from outlast.errors.answers import (
    ActorBusy,
    ActorError,
    ActorParked,
    ActorStopped,
    AskTimeout,
    CallCycle,
    DigestMismatch,
    HandlerFailed,
    TokenAnswered,
    TokenClosed,
    TokenError,
    TokenExpired,
    TokenNotFound,
    TurnInterrupted,
    UnknownActor,
    UpdateAborted,
    UpdateConflict,
    UpdateError,
    UpdateFailed,
    UpdateRejected,
    WrongApprover,
)
from outlast.errors.budgets import BudgetError, BudgetUnpriced, Looped, OverBudget
from outlast.errors.root import (
    EngineClosed,
    OutlastError,
    Passivating,
    ServerRefused,
    Shutdown,
    WaitTimeout,
)
from outlast.errors.runs import (
    ActorNotFound,
    ChildFailed,
    DeadLetterNotFound,
    IdempotencyMismatch,
    MailboxFull,
    OutcomeUnknown,
    ReplayMismatch,
    RunCancelled,
    RunClosed,
    RunError,
    RunExists,
    RunFailed,
    RunNotFound,
    RunParked,
    RunTerminated,
    RunTimedOut,
    SignalConflict,
    StepError,
    StepFailed,
    StepTimeout,
    TeamNotFound,
)
from outlast.errors.store import (
    CommitUnknown,
    LeaseLost,
    StoreBusy,
    StoreCodecError,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreMissing,
    StoreReadOnly,
    StoreReplaced,
    StoreTooNew,
    StoreUnavailable,
)
from outlast.errors.usage import (
    CallReused,
    DecodingError,
    DurationError,
    EncodingError,
    NotDeterministic,
    NotInRun,
    NotSupported,
    PayloadTooLarge,
    QueryError,
    QueryTooWide,
    RegistrationError,
    UnknownSignal,
    UnknownTopic,
    UnknownWorkflow,
    UsageError,
)

__all__ = [
    "ActorBusy",
    "ActorError",
    "ActorNotFound",
    "ActorParked",
    "ActorStopped",
    "AskTimeout",
    "BudgetError",
    "BudgetUnpriced",
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
    "Looped",
    "MailboxFull",
    "NotDeterministic",
    "NotInRun",
    "NotSupported",
    "OutcomeUnknown",
    "OutlastError",
    "OverBudget",
    "Passivating",
    "PayloadTooLarge",
    "QueryError",
    "QueryTooWide",
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
    "ServerRefused",
    "Shutdown",
    "SignalConflict",
    "StepError",
    "StepFailed",
    "StepTimeout",
    "StoreBusy",
    "StoreCodecError",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreMissing",
    "StoreReadOnly",
    "StoreReplaced",
    "StoreTooNew",
    "StoreUnavailable",
    "TeamNotFound",
    "TokenAnswered",
    "TokenClosed",
    "TokenError",
    "TokenExpired",
    "TokenNotFound",
    "TurnInterrupted",
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
]
