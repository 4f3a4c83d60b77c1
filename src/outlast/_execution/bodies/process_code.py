"""How a worker process finds the code that its parent has: by module and name, never by value.

The parent's program, which is `__main__` there, is loaded here as `__mp_main__`, as
`multiprocessing` does: its `if __name__ == "__main__":` block does not run again.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from outlast._execution.bodies.process_frames import CodeReference, Setup
from outlast.errors import RegistrationError, UsageError

MAIN = "__main__"
WORKER_MAIN = "__mp_main__"
_WORKER = "a worker process"
_loading: list[str] = []
_importer: list[str] = []


def reference_to(found: object, *, is_step: bool = False) -> CodeReference | None:
    """Return where a function or class is found by name, None when it cannot be.

    A step only has to be made when its module is imported: there it is found by its step's name.
    """
    module = getattr(found, "__module__", None)
    qualname = getattr(found, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or "<" in qualname:
        return None
    home = sys.modules.get(module)
    if home is None:
        return None
    file = getattr(home, "__file__", None)
    if not isinstance(file, str) and module == MAIN:
        return None  # an interactive session: there is no file that a worker could load
    if not is_step and _attribute(home, qualname) is not found:
        return None
    return CodeReference(module, qualname, file or "")


def main_of_this_process() -> tuple[str, str]:
    """Return the file of the running program, and its module name when it was run by `-m`."""
    main = sys.modules.get(MAIN)
    file = getattr(main, "__file__", None)
    spec = getattr(main, "__spec__", None)
    name = spec.name if spec is not None else ""
    return (str(Path(file).absolute()) if isinstance(file, str) else ""), name


def load(reference: CodeReference, setup: Setup) -> object:
    """Return what a reference of the parent's stands for here.

    Raises:
        RegistrationError: it is not there.
    """
    module = _load_module(reference, setup)
    found = _attribute(module, reference.qualname)
    if found is None:
        raise RegistrationError(
            f"a worker process cannot find {reference.module}.{reference.qualname}: define it at "
            f"module level, unconditionally"
        )
    return found


def refuse_while_loading() -> None:
    """Refuse to open an engine while a worker or a command imports the program.

    Raises:
        UsageError: the program does its work at import, so every importer would do it again.
    """
    if _loading:
        raise UsageError(
            f"{_loading[0]} runs its main program when it is imported, and {_importer[-1]} "
            f'must import it: put that part under `if __name__ == "__main__":`'
        )


@contextmanager
def loading(program: str, importer: str = _WORKER) -> Generator[None]:
    """Mark a program as being imported, and say by what."""
    _loading.append(program)
    _importer.append(importer)
    try:
        yield
    finally:
        _loading.pop()
        _importer.pop()


def _load_module(reference: CodeReference, setup: Setup) -> ModuleType:
    name = WORKER_MAIN if reference.module == MAIN else reference.module
    known = sys.modules.get(name)
    if known is not None:
        return known
    with loading(reference.file or name):
        if name == WORKER_MAIN:
            return _load_main(setup)
        if reference.file and "." not in name and not _is_importable(reference):
            return _load_file(name, reference.file)
        return importlib.import_module(name)


def _is_importable(reference: CodeReference) -> bool:
    spec = importlib.util.find_spec(reference.module)
    return spec is not None and spec.origin == reference.file


def _load_main(setup: Setup) -> ModuleType:
    return _load_file(WORKER_MAIN, setup.main_file, main_name=setup.main_name)


def _load_file(name: str, file: str, *, main_name: str = "") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RegistrationError(f"a worker process cannot load the program {file}")
    module = importlib.util.module_from_spec(spec)
    original = importlib.util.find_spec(main_name) if main_name else None
    if original is not None:
        # It was run with `-m`: its name, and what its relative imports start from.
        module.__spec__ = original
        module.__package__ = original.parent
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _attribute(holder: object, qualname: str) -> object:
    for part in qualname.split("."):
        holder = getattr(holder, part, None)
    return holder
