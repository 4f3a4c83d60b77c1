"""`outlast demo`: a real job, killed half-way, that goes on. `job.py` is what to read first."""

from __future__ import annotations

from outlast.demo.command import command

__all__ = ["command"]
