"""Structured logs: one JSON object a line, with the run and the step that said it.

Whatever a workflow, a step or a library below them logs with the standard `logging` carries the
ids of the run and the step in which it happened. Lines go into a file beside the database, which
`outlast logs` reads, and for people to stderr.

Invariants:
  * a line is one line: control characters are escaped;
  * what looks like a secret is in neither;
  * the files are bounded: two of `LOG_FILE_BYTES_MAX`, the older is replaced.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from typing_extensions import override

from outlast import limits
from outlast._execution.bodies.context import executing_step
from outlast._execution.run_context import executing_run_id
from outlast._wording.redaction import redact


def write_logs(file: Path, *, level: int = logging.INFO, as_json: bool = False) -> None:
    """Log to a file beside the database, and to stderr: as JSON, or for people.

    A file that cannot be opened is said on stderr and left out. One that cannot be written later,
    on a full disk, is said there once; lines are lost to it until it can be written again.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(JsonLines() if as_json else _ForPeople())
    trouble: OSError | None = None
    try:
        kept = _LogFile(file, maxBytes=limits.LOG_FILE_BYTES_MAX, backupCount=1, encoding="utf-8")
    except OSError as error:
        trouble = error
    else:
        file.chmod(0o600)
        kept.setFormatter(JsonLines())
        handlers.append(kept)
    for handler in handlers:
        handler.addFilter(_Whereabouts())
    logging.basicConfig(level=level, handlers=handlers, force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if trouble is not None:
        logging.getLogger("outlast").warning("cannot open the log file %s: %s", file, trouble)


class _LogFile(RotatingFileHandler):
    """A log file that may fail: its failure is one line on stderr, not a traceback for each."""

    _is_failing = False

    @override
    def flush(self) -> None:
        super().flush()  # at the end of each line
        self._is_failing = False

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._is_failing:
            self._is_failing = True
            with suppress(OSError):  # stderr may be on the same disk
                sys.stderr.write(
                    f"outlast: cannot write the log file {self.baseFilename} ({error.strerror}): "
                    "log lines go only to stderr until it is writable\n"
                )


class _Whereabouts(logging.Filter):
    """Gives a record the run and the step whose code is executing."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        step = executing_step.get()
        run, key, attempt = f"{getattr(record, 'outlast_run', '')}", "", 0
        if step is not None:
            run, key, attempt = step.context.run_id, step.context.key, step.context.attempt
        else:
            run = executing_run_id() or run
        record.outlast = (run, key, attempt)
        return True


def _where(record: logging.LogRecord) -> tuple[str, str, int]:
    found: tuple[str, str, int] = getattr(record, "outlast", ("", "", 0))
    return found


class JsonLines(logging.Formatter):
    """One JSON object a record."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        run, step, attempt = _where(record)
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            "run": run,
            "step": step,
            "attempt": attempt,
            "error": redact(self.formatException(record.exc_info)) if record.exc_info else "",
        }
        return json.dumps({name: value for name, value in fields.items() if value not in ("", 0)})


class _ForPeople(logging.Formatter):
    """A line with the time, and the run where there is one."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        run, step, _ = _where(record)
        where = f" [{run}{f' {step}' if step else ''}]" if run else ""
        message = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in record.getMessage())
        line = f"{at} {record.levelname.lower():7} {record.name}{where}: {redact(message)}"
        error = redact(self.formatException(record.exc_info)) if record.exc_info else ""
        return f"{line}\n{error}" if error else line
