"""Says what APP is, to `outlast build`: `python -m outlast.cli.program.describing APP FILE`.

In a process of its own, since the program is imported: what it prints, starts or breaks is not the
build's. The description is JSON in FILE, for stdout may be the program's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from outlast._registry import default_registry, source_hash
from outlast.building.program import Described, Program, Refused, modules_of_package, own_code
from outlast.cli.loading import ProgramMissing, load_program
from outlast.errors import OutlastError


def describe(app: str) -> Program:
    """Import a program and return what it is made of.

    Raises:
        ProgramMissing, BrokenProgram, UsageError
    """
    before = frozenset(sys.modules)
    module = load_program(app)
    loaded = {
        name: _file_of(found)
        for name, found in tuple(sys.modules.items())
        if name not in before and getattr(found, "__spec__", None) is not None
    }
    file = Path(str(module.__file__)).resolve()
    is_module = module.__name__ == app
    parts = module.__name__.split(".")
    package = parts[0] if is_module and (len(parts) > 1 or file.name == "__init__.py") else ""
    root = file.parent
    if package:
        root = Path(str(sys.modules[package].__path__[0])).resolve().parent
        loaded.update(modules_of_package(root, package))
    own = own_code(loaded, root)
    return Program(
        app=app,
        module=module.__name__,
        root=str(root),
        package=package,
        modules=sorted(loaded),
        imports=sorted(own.imports),
        code=own.hash,
        versions={
            definition.name: source_hash(definition)
            for definition in default_registry.workflows.values()
        },
    )


def _file_of(module: object) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def main(app: str, answer: Path) -> None:
    """Write the description, or why there is none."""
    found: Described
    try:
        found = describe(app)
    except OutlastError as error:
        found = Refused(f"{error}", is_missing=isinstance(error, ProgramMissing))
    answer.write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
