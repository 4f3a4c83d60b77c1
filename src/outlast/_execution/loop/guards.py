"""Guards that tell workflow code, at run time, when it reaches for what replay cannot repeat.

Installed once per process when the first engine opens. Outside workflow code every guarded
function does what it always did; the cost there is one look at the running loop.

Three kinds of calls:
  * refused: what blocks, does I/O or cannot be repeated raises `NotDeterministic`, live and on
    replay alike, whatever the process has cached;
  * drawn from the run: the functions of `random`, `uuid` and `os.urandom` (`chance`);
  * exempt: logging, imports, warnings, source lines of tracebacks and time zones do not change
    what a workflow computes. Each is wrapped where it enters, and what it does below that is done
    as though outside of the run: handlers may open files, rotate, connect and start threads.
"""

from __future__ import annotations

import _thread
import asyncio
import functools
import importlib
import linecache
import logging
import os
import random
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import PurePath
from typing import TypeVar

from outlast._execution.loop.chance import drawn_bytes, drawn_node, drawn_uuid1, install_chance
from outlast._execution.loop.event_loop import EXECUTING
from outlast._execution.loop.executing import run_outside, running_loop
from outlast._execution.loop.replacements import install_replacements
from outlast.errors import NotDeterministic

T = TypeVar("T")

_AUDITED = {
    "open": "open()",
    "builtins.input": "input()",
    "os.listdir": "os.listdir()",
    "os.scandir": "os.scandir()",
    "os.mkdir": "os.mkdir()",
    "os.remove": "os.remove()",
    "os.rename": "os.rename()",
    "os.rmdir": "os.rmdir()",
    "os.link": "os.link()",
    "os.symlink": "os.symlink()",
    "os.truncate": "os.truncate()",
    "os.chmod": "os.chmod()",
    "os.chown": "os.chown()",
    "os.utime": "os.utime()",
    "os.setxattr": "os.setxattr()",
    "os.removexattr": "os.removexattr()",
    "os.chdir": "os.chdir()",
    "sqlite3.connect": "sqlite3.connect()",
    "socket.__new__": "a socket",
    "socket.connect": "a socket",
    "socket.getaddrinfo": "a name look-up",
    "socket.gethostbyaddr": "a name look-up",
    "socket.gethostbyname": "a name look-up",
    "socket.getnameinfo": "a name look-up",
    "subprocess.Popen": "a subprocess",
    "os.system": "os.system()",
    "os.posix_spawn": "a subprocess",
    "os.spawn": "a subprocess",
    "os.exec": "os.exec()",
    "os.fork": "os.fork()",
    "os.forkpty": "os.forkpty()",
    "time.sleep": "time.sleep()",  # from 3.13 on
    "_thread.start_new_thread": "starting a thread",
    "_thread.start_joinable_thread": "starting a thread",  # from 3.13 on
}
_SECRETS = "draw it in a step and return Secret: a reader of the journal could repeat the draw"
# The C implementation of zoneinfo opens its files by itself, and only those that it has not
# cached: no wrapper can stand in its way. Whoever opens such a file by hand gets the same data.
_TIME_ZONE_FOLDERS = frozenset(("zoneinfo", "tzdata"))
_READS_FILES = frozenset(("open", "os.listdir", "os.scandir"))
_TIME_ZONE_FILES = frozenset(("/etc/localtime", "/etc/timezone"))
_METADATA = "importlib.metadata"
_installed: list[bool] = []


def install_guards() -> None:
    """Guard this process; calling again does nothing."""
    if _installed:
        return
    _installed.append(True)
    _refuse(time, "sleep", "time.sleep()", "use await asyncio.sleep() or wf.sleep()")
    _refuse(threading.Thread, "start", "starting a thread", "move it into a step")
    _refuse(_thread, "start_new_thread", "starting a thread", "move it into a step")
    _refuse(asyncio, "to_thread", "asyncio.to_thread()", "make it a step with where='thread'")
    for name in ("mkfifo", "mknod"):  # they tell no auditor, and Windows has none of them
        if getattr(os, name, None) is not None:
            _refuse(os, name, f"os.{name}()", "move it into a step")
    for holder in (asyncio.events, asyncio):  # a loop that gets no socket is noisy when collected
        _refuse(holder, "new_event_loop", "asyncio.new_event_loop()", "move it into a step")
    # The one name by which `secrets` and SystemRandom reach the operating system's chance, also
    # when their functions were imported by name before.
    _refuse(random, "_urandom", "secrets or random.SystemRandom", _SECRETS)
    install_chance(setattr)
    _draw(os, "urandom", drawn_bytes)
    if getattr(os, "getrandom", None) is not None:  # Linux
        _draw(os, "getrandom", _drawn_random)
    _draw(uuid, "uuid1", drawn_uuid1)
    # Without an address of a network card, it draws one and keeps it for the process.
    _draw(uuid, "getnode", drawn_node)
    if getattr(uuid, "_generate_time_safe", None) is not None:
        _draw(uuid, "_generate_time_safe", _drawn_time_safe)  # behind an uuid1 imported by name
    _exempt_logging()
    _exempt_imports()
    _exempt(warnings, "_showwarnmsg")
    _exempt(linecache, "updatecache")
    _exempt(linecache, "checkcache")
    _exempt(importlib.import_module("zoneinfo._common"), "load_tzdata")
    install_replacements()
    sys.addaudithook(_audit_hook())


def outside_of_run(work: Callable[..., T]) -> Callable[..., T]:
    """Return `work`, done as though no workflow code were executing."""

    @functools.wraps(work)
    def exempt(*args: object, **kwargs: object) -> T:
        loop = running_loop()
        if loop is None:
            return work(*args, **kwargs)
        return run_outside(loop, functools.partial(work, *args, **kwargs))

    return exempt


def _refuse(holder: object, name: str, what: str, advice: str) -> None:
    original: Callable[..., object] = getattr(holder, name)

    @functools.wraps(original)
    def guarded(*args: object, **kwargs: object) -> object:
        if running_loop() is not None:
            raise NotDeterministic(what, advice)
        return original(*args, **kwargs)

    setattr(holder, name, guarded)


def _draw(holder: object, name: str, drawn: Callable[..., object]) -> None:
    original: Callable[..., object] = getattr(holder, name)

    @functools.wraps(original)
    def guarded(*args: object, **kwargs: object) -> object:
        if running_loop() is None:
            return original(*args, **kwargs)
        return drawn(*args, **kwargs)

    setattr(holder, name, guarded)


def _drawn_random(size: int, _: int = 0) -> bytes | None:
    return drawn_bytes(size)


def _drawn_time_safe(*_: object) -> tuple[bytes, None]:
    made = drawn_uuid1()
    if made is None:
        raise RuntimeError("drawn outside of a run")
    return made.bytes, None


def _exempt(holder: object, name: str) -> None:
    setattr(holder, name, outside_of_run(getattr(holder, name)))


def _exempt_logging() -> None:
    # Not `_log`: behind it the caller's frame is looked for, and a wrapper would be taken for it.
    for name in ("makeRecord", "handle", "callHandlers"):
        _exempt(logging.Logger, name)
    _exempt(logging.Handler, "handle")
    _exempt(logging, "basicConfig")


def _exempt_imports() -> None:
    # Only modules that are not loaded come by here, by whatever way they are imported.
    machinery = importlib.import_module("importlib._bootstrap")
    name = "_find_and_load"
    load: Callable[..., object] = outside_of_run(getattr(machinery, name))

    @functools.wraps(load)
    def find_and_load(module_name: str, *args: object) -> object:
        found = load(module_name, *args)
        if module_name == _METADATA:
            _exempt_metadata()
        return found

    setattr(machinery, name, find_and_load)
    _exempt(machinery, "_exec")  # importlib.reload
    if _METADATA in sys.modules:
        _exempt_metadata()


def _exempt_metadata() -> None:
    """Exempt looking for installed packages; loading the module takes too long to do it here.

    It keeps what it finds for the whole process, and takes whatever a look-up raises for "none".
    """
    metadata = sys.modules[_METADATA]
    _exempt(metadata.FastPath, "children")
    _exempt(metadata.FastPath, "zip_children")
    _exempt(metadata.PathDistribution, "read_text")


def _audit_hook() -> Callable[[str, tuple[object, ...]], None]:
    """Return the hook; it holds what it needs, for it is called when modules are gone, too."""
    audited, executing = _AUDITED, EXECUTING

    def audit(event: str, args: tuple[object, ...]) -> None:
        what = audited.get(event)
        if what is None or executing.loop is None:
            return
        if event in _READS_FILES and _is_time_zone(args[0]):
            return
        raise NotDeterministic(what, "move it into a step")

    return audit


def _is_time_zone(path: object) -> bool:
    if not isinstance(path, str):
        return False
    return path in _TIME_ZONE_FILES or not _TIME_ZONE_FOLDERS.isdisjoint(PurePath(path).parts)
