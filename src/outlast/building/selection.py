"""What goes into an executable beside what PyInstaller finds by itself, and what stays out."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Collection
from pathlib import Path

from outlast.building.program import Program, files_of_package

# Never imported by a program in production, or imported by a library only where it is there.
EXCLUDES = (
    "IPython",
    "PyInstaller",
    "_pytest",
    "a2wsgi",
    "cryptography",
    "curio",
    "curses",
    "distutils",
    "doctest",
    "dotenv",
    "ensurepip",
    "hypothesis",
    "idlelib",
    "lib2to3",
    "mypy",
    "numpy",
    "pip",
    "pkg_resources",
    "playwright",
    "pydantic",
    "pydoc",
    "pydoc_data",
    "pyright",
    "pytest",
    "readline",
    "rich",
    "setuptools",
    "test",
    "tkinter",
    "trio",
    "turtle",
    "turtledemo",
    "unittest",
    "venv",
    "watchfiles",
    "websockets",
    "wsproto",
    "xmlrpc",
    "yaml",
)
# For making programs; and `building` but for what an executable runs at its start. `agents` goes in
# with a program that has loaded it: it brings pydantic-ai along. So does what encrypts (OpenSSL).
_OUR_TOOLS = (
    "agents",
    "bench",
    "building",
    "demo",
    "testing",
    "cli.program",
    "_codec.stored.aesgcm",
)
_OUR_TOOLS_KEPT = ("outlast.building", "outlast.building.startup", "outlast.cli.program.version")
# Chosen by uvicorn and asyncio by name, where they are installed.
_BY_NAME = (
    "httptools",
    "uvloop",
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
    "uvicorn.loops.auto",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.http.httptools_impl",
)
_METADATA = ("METADATA", "entry_points.txt")
PACKAGE = Path(__file__).resolve().parents[1]


def hidden_imports(program: Program, included: Collection[str]) -> list[str]:
    """Return modules that must go in although nothing imports them by a statement."""
    ours = {name for name in _our_modules() if not _is_tool(name)}
    theirs = {name for name in program.modules if not name.startswith("outlast.")}
    asked = {name for name in program.modules if name.startswith("outlast.")}
    if "outlast.agents" in asked:  # it loads the protocols of pages by name
        asked |= {name for name in _our_modules() if name.startswith("outlast.agents.")}
    if _encrypts(program):
        asked.add("outlast._codec.stored.aesgcm")
    by_name = {name for name in _BY_NAME if _is_installed(name)}
    return sorted(ours | theirs | asked | by_name | set(included))


def excludes(program: Program, included: Collection[str]) -> list[str]:
    """Return modules that stay out: none that the program has loaded, imports or asks for."""
    wanted = {name.partition(".")[0] for name in (*program.modules, *included)}
    wanted |= set(program.imports)
    if _encrypts(program):
        wanted.add("cryptography")
    return sorted(set(EXCLUDES) - wanted)


def data_files(program: Program, given: Collection[str]) -> list[tuple[str, str]]:
    """Return files that are no code: (file, directory inside)."""
    found = [
        (str(file), str(Path("outlast") / file.parent.relative_to(PACKAGE)))
        for folder, pattern in (("_server/static", "**/*"), ("_store/sqlite/migrations", "*.sql"))
        for file in sorted((PACKAGE / folder).glob(pattern))
        if file.is_file()
    ]
    root = Path(program.root)
    if program.package:
        found += [
            (str(file), str(file.parent.relative_to(root)))
            for file in files_of_package(root, program.package)
            if file.suffix not in (".py", ".pyc", ".pyi")
        ]
    found += _metadata(program)
    for item in given:
        source, _, inside = item.partition(":")
        found.append((str(Path(source).absolute()), inside or "."))
    return found


def _metadata(program: Program) -> list[tuple[str, str]]:
    """Return what libraries may ask the system of themselves and others: versions, entry points."""
    by_package = importlib.metadata.packages_distributions()
    packages = {name.partition(".")[0] for name in program.modules} - {"outlast"}
    names = {name for package in packages for name in by_package.get(package, ())}
    files: list[tuple[str, str]] = []
    for name in sorted(names):
        for file in importlib.metadata.distribution(name).files or ():
            place = Path(file)
            if place.name in _METADATA and place.parent.suffix == ".dist-info":
                files.append((str(file.locate()), place.parent.name))
    return files


def _our_modules() -> list[str]:
    return [
        ".".join(("outlast", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for file in sorted(PACKAGE.rglob("*.py"))
        if file.name != "__main__.py"
    ]


def _is_tool(name: str) -> bool:
    if name in _OUR_TOOLS_KEPT:
        return False
    inside = name.removeprefix("outlast.")
    return any(inside == tool or inside.startswith(f"{tool}.") for tool in _OUR_TOOLS)


def _encrypts(program: Program) -> bool:
    return "outlast.encryption" in program.modules and _is_installed("cryptography")


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is not None
