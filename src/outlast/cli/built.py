"""What a built executable runs: the command line, or a worker process of its engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from outlast._built import HOME, WORKER_ARGUMENT
from outlast._execution.bodies import process_worker
from outlast.building import startup
from outlast.cli.group import main as command_line


def main() -> None:
    """Run what `sys.argv` says."""
    startup.restore_library_path(os.environ)
    if sys.argv[1:2] == [WORKER_ARGUMENT]:
        process_worker.main(int(sys.argv[2]))
        return
    if HOME is not None:
        startup.prepare(HOME, Path(sys.executable))
    command_line()
