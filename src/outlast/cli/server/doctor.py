"""`outlast doctor`: what durability and speed depend on, looked at on this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import apsw
import click

from outlast._execution.bodies.threads import THREADS_TAKEN
from outlast._store.sqlite.examination import look_for_loss, prepare_reading
from outlast._store.sqlite.files.lock import file_system_of, refuse_network_file_system
from outlast._store.sqlite.files.loss import explain
from outlast._store.sqlite.files.mark import mark_path, read_mark
from outlast._store.sqlite.files.traces import without_traces
from outlast._store.sqlite.opening import open_reader
from outlast._store.sqlite.tables.schema import is_there
from outlast.cli.database.verifying import faults_of
from outlast.cli.ownership import holder_of
from outlast.cli.places import database_options, json_option, target_of
from outlast.cli.printing import as_json, note, safe_line, say
from outlast.cli.program.version import own_version
from outlast.errors import StoreDamaged, StoreError

_SYNCS = 20
_SLOW_SYNC_MILLISECONDS = 20.0  # a commit waits for one: fifty steps a second in a row, no more
_FAST_SYNC_MILLISECONDS = 0.02  # no disk is this quick: nothing was made durable
_FILES_MIN = 256
_CHECKED_BYTES_MAX = 1 << 30  # checking reads the whole file


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Literal["ok", "note", "bad"]
    text: str


@click.command()
@json_option
@database_options
def doctor(*, as_data: bool, db: str | None, url: str | None) -> int:
    """Check the machine, the disk and the database; exit with 1 on a serious finding."""
    path = Path(target_of(db, url, read_only=True).name)
    place = _existing(path.parent)
    findings = [
        Finding("outlast", "ok", own_version()),
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        Finding("sqlite", "ok", f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})"),
        _loop(),
        _files(),
        _file_system(path, place),
        _sync(place),
        *_store(path),
    ]
    if as_data:
        say(as_json(findings))
    else:
        for finding in findings:
            mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}[finding.verdict]
            say(f"{mark} {finding.name:12} {safe_line(finding.text)}")
    is_bad = any(finding.verdict == "bad" for finding in findings)
    if is_bad:
        note("something needs attention: see the lines marked BAD")
    return 1 if is_bad else 0


def _existing(directory: Path) -> Path:
    directory = directory.resolve()
    while not directory.is_dir():
        directory = directory.parent
    return directory


def _loop() -> Finding:
    if importlib.util.find_spec("uvloop") is not None:
        return Finding("event loop", "ok", "uvloop")
    return Finding("event loop", "note", "asyncio; `pip install 'outlast[fast]'` makes it faster")


def _files() -> Finding:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    shown = "unlimited" if processes == resource.RLIM_INFINITY else f"{processes:,}"
    text = f"{files:,} open files, {shown} processes, {os.cpu_count()} processors"
    if 0 <= files < _FILES_MIN:
        return Finding("limits", "bad", f"{text}: too few, see `ulimit -n`")
    return Finding("limits", "ok", text)


def _file_system(path: Path, place: Path) -> Finding:
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        mounts = ""
    kind = file_system_of(place, mounts) or "unknown"
    free = os.statvfs(place)
    text = f"{kind}, {free.f_bavail * free.f_frsize / 1e9:.1f} GB free at {place}"
    try:
        refuse_network_file_system(path.resolve())
    except StoreError as error:
        return Finding("file system", "bad", f"{error}")
    if kind in ("tmpfs", "ramfs"):
        return Finding("file system", "note", f"{text}: gone when the machine stops")
    return Finding("file system", "ok", text)


def _sync(place: Path) -> Finding:
    """Measure what a commit waits for: a small write, made durable."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            times: list[float] = []
            for _ in range(_SYNCS):
                file.write(b"x" * 4096)
                file.flush()
                began = time.perf_counter()
                os.fsync(file.fileno())
                times.append((time.perf_counter() - began) * 1e3)
    except OSError as error:
        return Finding("disk", "bad", f"cannot write to {place}: {error.strerror}")
    middle = statistics.median(times)
    text = f"fsync takes {middle:.2f} ms (p50 of {_SYNCS}, worst {max(times):.2f} ms)"
    if middle > _SLOW_SYNC_MILLISECONDS:
        return Finding("disk", "note", f"{text}: slow; sequential steps wait for each fsync")
    if middle < _FAST_SYNC_MILLISECONDS:
        return Finding(
            "disk", "note", f"{text}: too fast to be real; a power failure may lose data"
        )
    return Finding("disk", "ok", text)


def _store(path: Path) -> list[Finding]:
    try:
        if not is_there(path):
            return [Finding("store", "note", f"none yet at {path}")]
    except StoreError as error:
        return [Finding("store", "bad", f"{error}")]
    pid = holder_of(path)
    owner = f"in use by process {pid}" if pid is not None else "not in use"
    findings = [Finding("owner", "ok", owner)]
    try:
        with without_traces(path):
            prepare_reading(path)
            loss = look_for_loss(path, is_owned=pid is not None)
            if loss is not None:
                raise StoreDamaged(explain(path, loss))
            findings.append(_mark(path))
            findings.append(_health(path))
            findings += _starved(path)
    except StoreError as error:
        findings.append(Finding("store", "bad", f"{error}"))
    return findings


def _starved(path: Path) -> list[Finding]:
    """Name the runs whose steps wait for a thread, and what holds the threads."""
    reader = open_reader(path)
    try:
        rows = reader.execute(
            "SELECT id, waiting_for FROM runs WHERE status IN ('running', 'waiting')"
            " AND instr(waiting_for, ?) > 0 LIMIT 2",
            (THREADS_TAKEN,),
        ).fetchall()
    finally:
        reader.close(True)
    if not rows:
        return []
    run, waits = rows[0]
    others = " (and other runs)" if len(rows) > 1 else ""
    text = f"run {run}{others} is {waits}: give these steps a timeout, or where='process'"
    return [Finding("threads", "bad", text)]


def _mark(path: Path) -> Finding:
    place = mark_path(path)
    if read_mark(path) is None:
        text = f"{place} is missing or damaged, so lost commits cannot be detected"
        return Finding("mark", "note", f"{text}; the next engine recreates it")
    return Finding("mark", "ok", f"{place}: no acknowledged commit is missing")


def _health(path: Path) -> Finding:
    size = path.stat().st_size
    if size > _CHECKED_BYTES_MAX:
        text = f"{path}, {size:,} bytes: too large to check here; use `outlast db verify`"
        return Finding("store", "note", text)
    faults = faults_of(path)
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        text = f"{path} is damaged ({faults[0]}{more}): see `outlast db verify`, restore a backup"
        return Finding("store", "bad", text)
    return Finding("store", "ok", f"{path}, {size:,} bytes, structure and checksums are correct")
