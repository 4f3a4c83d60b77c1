"""Finding the workflow that `APP:FLOW` names.

A fault in the user's module is shown as one line with its place in the file, not as a traceback
through our loader.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from outlast._authoring.workflow import Workflow
from outlast._built import BUILT, Built
from outlast._engine.open_engine import CoreOptions
from outlast._execution.bodies.process_code import loading
from outlast._registry import WorkflowDefinition, default_registry, module_name
from outlast.app import App
from outlast.errors import UnknownWorkflow, UsageError

_LIBRARIES = (Path(importlib.__file__).parents[1], Path(__file__).parents[1])


class BrokenProgram(UsageError):
    """The user's module cannot be loaded."""


class ProgramMissing(UnknownWorkflow):
    """There is no such file or module."""


def find_workflow(app_and_flow: str) -> WorkflowDefinition:
    """Return the workflow that `APP:FLOW` names.

    Raises:
        UsageError: it is not of this form; BrokenProgram: the module raises when it is loaded.
        ProgramMissing, UnknownWorkflow: there is no such module, or no such workflow in it.
    """
    app, flow = parts_of(app_and_flow)
    module = load_program(app)
    found: object = module
    for part in flow.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Workflow):
        return found.definition
    names = _workflows_of(module)
    by_name = next((d for d in default_registry.workflows.values() if d.name == flow), None)
    if by_name is not None:
        return by_name
    what = "is not a workflow" if found is not None else "does not exist"
    listing = ", ".join(sorted(names)) or "none: mark a function with @workflow"
    raise UnknownWorkflow(f"{flow!r} {what} in {app}; its workflows: {listing}")


def parts_of(app_and_flow: str) -> tuple[str, str]:
    """Return APP and FLOW.

    Raises:
        UsageError: it is not of this form.
    """
    app, colon, flow = app_and_flow.rpartition(":")
    if BUILT is not None and not colon:
        app, colon = BUILT.app, ":"
    if not colon or not app or not flow:
        raise UsageError(
            f"{app_and_flow!r} is not of the form APP:FLOW; write for example app.py:greet or "
            "shop.orders:ship"
        )
    return app, flow


def _workflows_of(module: ModuleType) -> list[str]:
    return [
        definition.fn.__qualname__
        for definition in default_registry.workflows.values()
        if module_name(definition.fn) == module.__name__
    ]


def load_program(app: str) -> ModuleType:
    """Import `file.py` (under its stem) or `package.module`.

    Raises:
        ProgramMissing, BrokenProgram; UsageError: another one than the executable has inside.
    """
    if BUILT is not None:
        return _load_own(BUILT, app)
    is_file = app.endswith(".py") or "/" in app
    with loading(app, "this command"):
        return _load_file(Path(app)) if is_file else _load_module(app)


def options_of(app: str | None) -> CoreOptions:
    """Return what the engine of a program is opened with: its `outlast.App`, where it has one.

    Raises:
        ProgramMissing, BrokenProgram, UsageError: as `load_program`; or it has several.
    """
    if app is None:
        return CoreOptions(executes=False)
    module = load_program(app)
    found = {name: value for name, value in vars(module).items() if isinstance(value, App)}
    if len({id(value) for value in found.values()}) > 1:
        raise UsageError(
            f"{app} defines several outlast.App objects: {', '.join(found)}; keep only one"
        )
    return next((value._options for value in found.values()), CoreOptions())


def _load_own(built: Built, app: str) -> ModuleType:
    if app not in (built.app, built.module):
        raise UsageError(
            f"this executable contains {built.app} and cannot run {app}: leave out APP"
        )
    try:
        with loading(built.app, "this executable"):
            return importlib.import_module(built.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's module raises, SystemExit too
        raise BrokenProgram(_told(error, built.app)) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ProgramMissing(f"there is no file {path}")
    file = path.resolve()
    name = file.stem
    if not name.isidentifier():
        raise UsageError(
            f"{path.name} cannot be imported: its name is not a valid Python identifier; rename "
            "the file"
        )
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(file):
            return known
        raise UsageError(f"{path} would hide the module {name!r}: rename the file")
    _put_first(file.parent)
    if b"\0" in file.read_bytes():
        raise BrokenProgram(f"{path} contains NUL bytes: it is not Python source, or it is damaged")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise BrokenProgram(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's module raises, SystemExit too
        del sys.modules[name]
        raise BrokenProgram(_told(error, str(path))) from error
    return module


def _load_module(name: str) -> ModuleType:
    _put_first(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ProgramMissing(
                f"there is no module {name!r} (no {error.name!r} on the path); to name a file, "
                "include .py"
            ) from None
        raise BrokenProgram(_told(error, name)) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as above
        raise BrokenProgram(_told(error, name)) from error


def _put_first(directory: Path) -> None:
    text = str(directory)
    if text not in sys.path:
        sys.path.insert(0, text)


def _told(error: BaseException, what: str) -> str:
    """Return one line: where in the user's code, and what."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {kind}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith("<") and f.filename != __file__]
    # The innermost line that is not in somebody's library, ours included, is the one to mend.
    mine = [f for f in own if not _is_library(f.filename)]
    place = (mine or own or list(frames))[-1:]
    where = f"{place[0].filename}:{place[0].lineno}" if place else what
    return f"{where}: {kind}: {error} (while loading {what})"


def _is_library(filename: str) -> bool:
    return "site-packages" in filename or any(Path(filename).is_relative_to(d) for d in _LIBRARIES)
