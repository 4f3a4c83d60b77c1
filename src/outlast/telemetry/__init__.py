"""What the engine's work looks like from outside: log lines that know their run and step."""

from __future__ import annotations

from outlast.telemetry.logs import write_logs

__all__ = ["write_logs"]
