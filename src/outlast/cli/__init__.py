"""The command line. `main` is what `outlast` runs.

A command's module is imported when the command is run, not before: `outlast --help` is quick, and
imports nothing of the engine.
"""

from __future__ import annotations

from outlast.cli.group import main

__all__ = ["main"]
