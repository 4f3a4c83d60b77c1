"""outlast: workflows and agents that outlast the process that runs them."""

from __future__ import annotations

from outlast import errors as errors
from outlast._execution.context import StepContext
from outlast._engine.reader import Record
from outlast._registry import Registry
from outlast.call import Call, Err, Ok
from outlast.engine import Engine, run
from outlast.errors import *  # noqa: F403
from outlast.handle import Run
from outlast.names import Signal, Stream, Update, Value
from outlast.step import Step, step, this_step
from outlast.types import Duration, Retry, RunInfo, Status, StreamEvent, Timeout
from outlast.workflow import Workflow, wf, workflow
