"""Real clients in a real browser follow an agent that dies in the middle of its answer.

The application and the page's code are those of docs/howto/stream-to-a-web-page.md.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import hatch_build
from tests.crash.serving import free_port
from tests.e2e.commands import end, until
from tests.e2e.dashboards import Browser, Page, fields_of, until_seen
from tests.e2e.pages import programs_of, scripts_of

pytest.importorskip("pydantic_ai")

CLIENTS = Path(__file__).with_name("clients")
ANSWER = "It will be cold in Oslo , with some snow in the evening . "
HTML = '<!doctype html><meta charset="utf-8"><div id="chat"></div><script src="page.js"></script>'
# What the page of the how-to leaves to the reader: how the page comes to the browser, and a model.
# This one dies when the test says so: with its process, or with an error that is retried.
PAGE = """

@app.get("/page/{name}")
async def page(name: str) -> FileResponse:
    return FileResponse(name)


@app.post("/terminate/{id}")
async def terminate(id: str) -> None:
    await engine.get(id).terminate()
"""
IMPORTS = "from fastapi.responses import FileResponse, StreamingResponse"
WORDS = """
    from pathlib import Path
    attempt = len(list(Path().glob("attempt-*")))
    Path(f"attempt-{attempt}").touch()
    for number, word in enumerate("WORDS".split()):
        if attempt == 0 and number == 6:
            await asyncio.sleep(0.2)  # what was said so far is on its way by then
            Path("said-six").touch()
            while not Path("die").exists():
                await asyncio.sleep(0.02)
            raise ConnectionError("the model has hung up")
        yield word + " "
        await asyncio.sleep(0.02)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the page; its clients come from npm, as the lock file pins them."""
    node = hatch_build.node_on_path() or hatch_build.node_in_package()
    if node is None:
        pytest.skip("there is no Node.js to build the page with")
    lock = hashlib.sha256((CLIENTS / "package-lock.json").read_bytes()).hexdigest()
    stamp = CLIENTS / "node_modules" / ".installed-from"
    env = dict(os.environ, PATH=f"{node.folder}{os.pathsep}{os.environ.get('PATH', '')}")
    if not stamp.exists() or stamp.read_text() != lock:
        install = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            install, cwd=CLIENTS, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        stamp.write_text(lock)
    made = tmp_path_factory.mktemp("page")
    for name, text in scripts_of("stream-to-a-web-page").items():
        (made / name).write_text(text)
    shutil.copy(CLIENTS / "page.jsx", made)
    bundle = [str(CLIENTS / "node_modules" / ".bin" / "esbuild"), "page.jsx", "--bundle"]
    bundle += ["--outfile=page.js", "--jsx=automatic", "--log-level=warning"]
    bundle += ['--define:process.env.NODE_ENV="production"']
    env["NODE_PATH"] = str(CLIENTS / "node_modules")
    done = subprocess.run(bundle, cwd=made, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return made / "page.js"


class Application:
    """The application of the how-to, killed and started again on one port."""

    def __init__(self, place: Path) -> None:
        program = programs_of("stream-to-a-web-page")[0] + PAGE
        program = program.replace("from fastapi.responses import StreamingResponse", IMPORTS)
        words, rest = program.split('another model instead."""\n')[1].split("\n\n\nweather", 1)
        said = words.split('"')[1]
        assert said.strip() + " " == ANSWER
        program = program.replace(words, WORDS.replace("WORDS", said)).replace("\n\n\n" + rest, "")
        (place / "chat.py").write_text(program.rstrip() + "\n\n\nweather" + rest)
        self.place = place
        self.port: int = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "chat:app", "--port", f"{self.port}"]
        with (self.place / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=self.place, stdout=log, stderr=log, text=True
            )
        until(self.is_up, seconds=60)

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/page/page.html", timeout=60):
                return True
        except OSError:
            return False

    def dies(self, page: Page, how: str) -> None:
        """Let the first attempt die when it has said six words."""
        until_seen(page, (self.place / "said-six").exists)
        if how == "killed":
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.start()
        else:
            (self.place / "die").touch()


@pytest.fixture
def application(tmp_path: Path, script: Path) -> Iterator[Application]:
    shutil.copy(script, tmp_path)
    (tmp_path / "page.html").write_text(HTML)
    made = Application(tmp_path)
    yield made
    end(made.process, signal.SIGKILL)


@pytest.fixture
def page(chromium: Browser, application: Application) -> Iterator[Page]:
    context = chromium.new_context()
    opened = context.new_page()
    opened.goto(f"{application.url}/page/page.html")
    yield opened
    context.close()


@pytest.mark.parametrize("how", ["killed", "retried"])
def test_every_client_has_the_answer_once_when_an_attempt_dies(
    application: Application, page: Page, how: str
) -> None:
    page.get_by_role("button", name="Ask").click()
    run = page.evaluate("asked()")
    page.evaluate("(run) => startAgUi(run)", run)
    page.evaluate("(run) => startRaw(`/questions/${run}?protocol=raw`)", run)
    application.dies(page, how)

    chat = page.locator("main[data-status=ready] [data-role=assistant]")
    until_seen(page, lambda: chat.count() == 1 and chat.inner_text() == ANSWER.strip())
    until_seen(page, lambda: fields_of(page.evaluate("agui"))["ended"] != "")
    assert page.evaluate("agui") == {"text": ANSWER, "ended": "finished", "users": 1, "error": ""}
    until_seen(page, lambda: page.evaluate("raw") == ANSWER)


def test_clients_are_told_that_a_run_is_over_before_its_time(
    application: Application, page: Page
) -> None:
    page.get_by_role("button", name="Ask").click()
    run = page.evaluate("asked()")
    page.evaluate("(run) => startAgUi(run)", run)
    until_seen(page, (application.place / "said-six").exists)
    page.evaluate("(run) => fetch(`/terminate/${run}`, { method: 'POST' })", run)

    until_seen(page, lambda: page.locator("main[data-status=error]").count() == 1)
    until_seen(page, lambda: fields_of(page.evaluate("agui"))["ended"] != "")
    error = "The run was terminated. terminated"
    assert fields_of(page.evaluate("agui"))["error"] == error
