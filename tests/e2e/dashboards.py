"""A browser and a server with runs in it, for the tests of the dashboard.

Playwright is not among the pinned requirements (it is large, and needs a browser too): its few
names that are used here are described by protocols, and without it the tests are skipped with a
reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import pytest

from tests.e2e.commands import SOURCE, end, until

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "src" / "outlast" / "_server" / "static"
# What would run if any value were taken for markup.
HOSTILE = '<img src=x onerror="window.hit=1">\'"&amp;</script>\U0001f525{{7*7}}'
# Turns the direction of text around; ids may not hold it, other values may.
TURNING = HOSTILE + "\u202e"
WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 844}

APP = Path(__file__).with_name("dashboard_program.py")


class Place(Protocol):
    """Where elements can be looked for."""

    def locator(self, selector: str) -> Locator: ...
    def get_by_label(self, text: str, *, exact: bool = ...) -> Locator: ...
    def get_by_role(
        self, role: str, *, name: str | re.Pattern[str] = ..., exact: bool = ...
    ) -> Locator: ...
    def get_by_text(self, text: str | re.Pattern[str], *, exact: bool = ...) -> Locator: ...


class Locator(Place, Protocol):
    """Elements of a page."""

    @property
    def first(self) -> Locator: ...
    @property
    def last(self) -> Locator: ...
    def click(self) -> None: ...
    def check(self) -> None: ...
    def count(self) -> int: ...
    def fill(self, value: str) -> None: ...
    def inner_text(self) -> str: ...
    def press(self, key: str) -> None: ...
    def wait_for(self, *, timeout: float = ..., state: str = ...) -> None: ...


class Mouse(Protocol):
    """The mouse of a page."""

    def click(self, x: float, y: float) -> None: ...


class Keyboard(Protocol):
    def press(self, key: str) -> None: ...
    def type(self, text: str) -> None: ...


class Request(Protocol):
    @property
    def url(self) -> str: ...


class Route(Protocol):
    @property
    def request(self) -> Request: ...
    def fulfill(self, *, json: object, status: int = ...) -> None: ...
    def abort(self) -> None: ...


class Page(Place, Protocol):
    """One tab."""

    @property
    def url(self) -> str: ...
    @property
    def keyboard(self) -> Keyboard: ...
    @property
    def mouse(self) -> Mouse: ...
    def goto(self, url: str) -> object: ...
    def reload(self) -> object: ...
    def close(self) -> None: ...
    def on(self, event: str, f: Callable[[object], object]) -> None: ...
    def route(self, url: re.Pattern[str], handler: Callable[[Route], object]) -> None: ...
    def unroute(self, url: re.Pattern[str]) -> None: ...
    def evaluate(self, expression: str, arg: object = None) -> object: ...
    def screenshot(self, *, path: str) -> object: ...
    def wait_for_timeout(self, timeout: float) -> None: ...


class Context(Protocol):
    def new_page(self) -> Page: ...
    def close(self) -> None: ...
    def on(self, event: str, f: Callable[[Request], object]) -> None: ...


class Browser(Protocol):
    def new_context(self, **options: object) -> Context: ...
    def close(self) -> None: ...


def built() -> None:
    """Have the dashboard in the tree, made from the sources that are there."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0 and "no Node.js" in done.stderr:
        pytest.skip("there is no Node.js to build the dashboard with")
    assert done.returncode == 0, done.stderr + done.stdout


BUILD = """
import pathlib, sys, hatch_build
root = pathlib.Path.cwd()
sys.exit(0 if hatch_build.is_built(root) else hatch_build.main())
"""


@contextmanager
def browser() -> Generator[Browser]:
    """Open the machine's Chromium without a window."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("Playwright is not installed: pip install playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine: apt install chromium")
    module = importlib.import_module("playwright.sync_api")
    with module.sync_playwright() as playwright:
        # The sandbox needs rights that containers do not have; only our own pages are opened.
        opened: Browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass(frozen=True, slots=True)
class Server:
    """`outlast dev` in a process of its own."""

    url: str
    directory: Path

    @property
    def token(self) -> str:
        return (self.directory / "token").read_text().strip()

    def links(self) -> list[str]:
        """All links that were printed so far."""
        return re.findall(r"dashboard: (\S+)", (self.directory / "server.log").read_text())

    def new_link(self) -> str:
        """Return a link that nobody has followed: one is printed when no printed one is good."""
        known = self.links()
        while self.links() == known:  # the last one is spent first, if it was not
            with contextlib.suppress(urllib.error.HTTPError):
                self.ask("/v1/session", {"code": known[-1].partition("code=")[2]})
        return self.links()[-1]

    def ask(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
        """Send a request as a program does: POST with a body, else GET."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, object] = json.loads(answer.read())
            return found

    def start(self, workflow: str, id: str, **input: object) -> None:
        self.ask(f"/v1/workflows/app.{workflow}/runs", {"id": id, "input": input})

    def run(self, id: str) -> dict[str, object]:
        return self.ask("/v1/runs/" + urllib.parse.quote(id, safe=""))

    def needs(self, path: str) -> None:
        """Skip the test when this server has no such route."""
        if path not in fields_of(self.ask("/openapi.json")["paths"]):
            pytest.skip(f"the server has no {path} yet")


@contextmanager
def served(directory: Path, program: Path = APP) -> Generator[Server]:
    """Serve a program from a new store."""
    shutil.copyfile(program, directory / "app.py")
    command = [sys.executable, "-m", "outlast", "dev", "app.py", "--no-reload", "--port", "0"]
    env = dict(os.environ, PYTHONPATH=str(SOURCE), PYTHONUNBUFFERED="1")
    log = directory / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--db", "runs.db"],
            cwd=directory,
            env=env,
            stdout=output,
            stderr=output,
            text=True,
        )
        try:
            found = await_link(process, log)
            yield Server(found[1], directory)
        finally:
            end(process)


def await_link(process: subprocess.Popen[str], log: Path) -> re.Match[str]:
    for _ in range(600):
        found = re.search(r"(http://\S+?)/#code=(\S+)", log.read_text())
        if found:
            return found
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail("the server did not start: " + log.read_text())


SIGN_IN = "(token) => sessionStorage.setItem('outlast.token', token)"


class Seat:
    """One person at one browser; everything that a page complained about is kept."""

    def __init__(
        self, browser: Browser, server: Server, prefix: str = "", **options: object
    ) -> None:
        self.server = server
        self.context = browser.new_context(**{"viewport": WIDE, **options})
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._prefix = prefix
        self.context.on("request", lambda request: self.requests.append(request.url))

    def open(self, place: str = "#/", *, signed_in: bool = True) -> Page:
        """Open a tab at a place; one that is not signed in asks the other tabs."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog}"))
        page.on("console", self._heard)
        if signed_in:
            # A page of the same origin that has no script: the token is there before ours begins.
            page.goto(self.server.url + "/healthz")
            page.evaluate(SIGN_IN, self.server.token)
        page.goto(self.server.url + "/")
        page.get_by_role("navigation", name="Main").wait_for(timeout=60_000)
        if place != "#/":
            self.go(page, place)
        return page

    def go(self, page: Page, place: str) -> None:
        page.goto(self.server.url + "/" + place)

    def shot(self, page: Page, name: str) -> None:
        """Keep a picture of the page in the folder that `OUTLAST_SHOTS` names, if it does."""
        folder = os.environ.get("OUTLAST_SHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            settled(page)
            page.screenshot(path=str(Path(folder) / f"{self._prefix}{name}.png"))

    def _heard(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        # A refused request is shown to the person; the browser also writes it to its console.
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)


def until_seen(page: Page, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what a page does: what it reports is heard only while something is asked of it."""
    for _ in range(int(seconds * 20)):
        if condition():
            return
        page.wait_for_timeout(50)
    pytest.fail("it did not happen in time; the page shows: " + page.locator("body").inner_text())


# Nothing is being read, nothing moves, and the page has not changed for a tenth of a second. A page
# that changes all the time is taken as it is after two.
SETTLED = """
() => new Promise((done) => {
  const began = performance.now()
  let changed = began
  const watch = new MutationObserver(() => { changed = performance.now() })
  watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true })
  const isMoving = (it) => it.playState === 'running' && it.effect.getTiming().iterations === 1
  const look = () => {
    const isQuiet = performance.now() - changed >= 100
    const isDone = !document.querySelector('.loading') && !document.getAnimations().some(isMoving)
    const isLate = performance.now() - began > 2_000
    if (!(isQuiet && isDone) && !isLate) return setTimeout(look, 20)
    watch.disconnect()
    done(true)
  }
  look()
})
"""


def settled(page: Page) -> None:
    """Wait until the page shows all that it has read."""
    page.evaluate(SETTLED)


# Two frames later: what one has brought about is shown, and what that has brought about too.
SHOWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def apart(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine on a thread: the browser has a loop of its own on this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def until_live(page: Page) -> None:
    page.locator(".feed-live").wait_for()


def text_of(page: Page) -> str:
    return page.locator("main").inner_text()


def shows(page: Page, text: str) -> None:
    """Wait until the page's own part has this text."""
    until(lambda: text in text_of(page))


def dialog_button(page: Page, name: str) -> None:
    page.locator("dialog[open]").get_by_role("button", name=name, exact=True).click()


def fields_of(value: object) -> dict[str, object]:
    """Return an object of JavaScript or JSON as what it is."""
    return msgspec.convert(value, dict[str, object])


def run_link(id: str) -> str:
    return "#/runs/" + urllib.parse.quote(id, safe="")
