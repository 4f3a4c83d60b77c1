"""`outlast bench`: what durable execution costs on this machine, beside what the machine can do."""

from __future__ import annotations

from outlast.bench.command import command

__all__ = ["command"]
