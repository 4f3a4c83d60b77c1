"""Guards that tell workflow code, at run time, when it reaches for what replay cannot repeat.

Installed once per process when the first engine opens. Outside workflow code every guarded
function does what it always did; the cost there is one look at the running loop.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from types import FrameType

from outlast._execution.loop import running_loop
from outlast._execution.replacements import install_replacements
from outlast.errors import NotDeterministic

_RANDOM = [
    "betavariate",
    "binomialvariate",
    "choice",
    "choices",
    "expovariate",
    "gammavariate",
    "gauss",
    "getrandbits",
    "lognormvariate",
    "normalvariate",
    "paretovariate",
    "randbytes",
    "randint",
    "random",
    "randrange",
    "sample",
    "seed",
    "shuffle",
    "triangular",
    "uniform",
    "vonmisesvariate",
    "weibullvariate",
]
_AUDITED = {
    "open": "open()",
    "socket.__new__": "a socket",
    "socket.connect": "a socket",
    "socket.getaddrinfo": "a name look-up",
    "subprocess.Popen": "a subprocess",
    "os.system": "os.system()",
    "os.posix_spawn": "a subprocess",
    "os.fork": "os.fork()",
}
# Reading source lines for a traceback, or a module for an import, does not change what the
# workflow computes.
_EXEMPT_MODULES = frozenset(
    ("importlib._bootstrap", "importlib._bootstrap_external", "linecache", "tokenize", "zipimport")
)
_installed: list[bool] = []


def install_guards() -> None:
    """Guard this process; calling again does nothing."""
    if _installed:
        return
    _installed.append(True)
    for name in _RANDOM:
        if hasattr(random, name):
            _guard(random, name, f"random.{name}()", "use wf.random()")
    _guard(uuid, "uuid1", "uuid.uuid1()", "use wf.uuid()")
    _guard(uuid, "uuid4", "uuid.uuid4()", "use wf.uuid()")
    _guard(os, "urandom", "os.urandom()", "use wf.random(), or make secrets in a step")
    _guard(time, "sleep", "time.sleep()", "use await asyncio.sleep() or wf.sleep()")
    _guard(threading.Thread, "start", "starting a thread", "move it into a step")
    _guard(asyncio, "to_thread", "asyncio.to_thread()", "make it a step with where='thread'")
    install_replacements()
    sys.addaudithook(_audit)


def _guard(holder: object, name: str, what: str, advice: str) -> None:
    original: Callable[..., object] = getattr(holder, name)

    @functools.wraps(original)
    def guarded(*args: object, **kwargs: object) -> object:
        if running_loop() is not None:
            raise NotDeterministic(what, advice)
        return original(*args, **kwargs)

    setattr(holder, name, guarded)


def _audit(event: str, _: tuple[object, ...]) -> None:
    what = _AUDITED.get(event)
    if what is None or running_loop() is None or _is_exempt():
        return
    raise NotDeterministic(what, "move it into a step")


def _is_exempt() -> bool:
    frame: FrameType | None = sys._getframe(1)  # CPython's documented call
    while frame is not None:
        if frame.f_globals.get("__name__") in _EXEMPT_MODULES:
            return True
        frame = frame.f_back
    return False
