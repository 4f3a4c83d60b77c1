"""Chatting with an agent on the command line: at a terminal, through a pipe, at a server."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash.serving import Server
from tests.e2e.commands import Project, until

PROGRAM = Path(__file__).with_name("chat_program.py")
ANSWER = "and this is my answer"


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, directory: Path, *args: str) -> None:
        self._main, other = pty.openpty()
        self._text = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "outlast", *args],
            cwd=directory,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._main, f"{text}\n".encode())

    def press_ctrl_c(self) -> None:
        """Interrupt the command."""
        self._process.send_signal(signal.SIGINT)

    def press_ctrl_d(self) -> None:
        """End the input."""
        os.write(self._main, b"\x04")

    def until(self, pattern: str) -> str:
        """Read until a pattern has come, and return what came up to there."""
        deadline = time.monotonic() + 60
        while (found := re.search(pattern, self._text)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self._text!r}"
            if select.select([self._main], [], [], left)[0]:
                self._text += os.read(self._main, 64 * 1024).decode().replace("\r\n", "\n")
        text, self._text = self._text[: found.end()], self._text[found.end() :]
        return text

    def kill(self) -> None:
        """Kill it as the power does."""
        self._process.kill()
        self._process.wait(60)
        os.close(self._main)

    def end(self) -> int:
        """Return the exit code."""
        try:
            return self._process.wait(60)
        finally:
            self._process.kill()
            os.close(self._main)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    shutil.copy(PROGRAM, tmp_path / "chat.py")
    return made


def test_lines_through_a_pipe_are_said_one_after_the_other(project: Project) -> None:
    said = project("agent", "chat", "chat.py:Support", "--key", "ann", stdin="one\ntwo")
    listed = project("agent", "ls")
    unknown = project("agent", "ls", "Nope")
    told = project("agent", "show", "Support", "ann")
    entries = project("agent", "show", "Support", "ann", "--json").lines

    assert said.out.splitlines() == [f"You said {text}  {ANSWER}" for text in ("one", "two")]
    assert (said.code, said.err) == (0, "")
    assert listed.out.splitlines()[1].split()[:4] == ["chat.Support", "ann", "idle", "2"]
    assert "no conversations yet of 'Nope'; `outlast agent ls` lists all" in unknown.err
    assert told.out.splitlines() == [
        "you: one",
        f"You said one  {ANSWER}",
        "you: two",
        f"You said two  {ANSWER}",
    ]
    assert [entry["kind"] for entry in entries] == ["user", "message", "message", "ended"] * 2


def test_structured_answers_are_json(project: Project) -> None:
    said = project("agent", "chat", "chat.py:Judge", stdin="one")

    assert (said.code, said.fields) == (0, {"text": "one", "score": 7})


def test_a_key_that_is_none_is_refused(project: Project) -> None:
    done = project("agent", "chat", "chat.py:Support", "--key", "")

    assert done.code != 0
    assert "a key" in done.err


def test_an_approval_that_is_given_elsewhere_takes_no_line_of_the_chat(project: Project) -> None:
    terminal = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    terminal.until("> ")
    terminal.type("refund A-1")
    terminal.until(r"approve\? \[y, n, or why not\] ")
    [waiting] = project("inbox", "--json").rows
    project("approve", f"{waiting['id']}", "--reason", "a good customer")
    terminal.until(r"\n  \[approved by \S+: a good customer\]\n")
    terminal.until("\n> ")
    terminal.type("thanks")
    terminal.until(f"You said thanks  {ANSWER}\n> ")
    terminal.press_ctrl_d()

    assert terminal.end() == 0


def test_approvals_of_one_response_are_asked_one_after_the_other(project: Project) -> None:
    terminal = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    terminal.until("> ")
    terminal.type("refund A-1 and A-2")
    text = terminal.until(r"approve\? \[y, n, or why not\] ")
    assert 'refund  {"order":"A-1"}' in text.replace(": ", ":").replace("refund:", "refund ")
    assert "A-2" not in text.partition("refund A-1 and A-2")[2]
    terminal.type("n")
    text = terminal.until(r"approve\? \[y, n, or why not\] ")
    assert text.index("[rejected by") < text.index("A-2")
    terminal.type("y")
    terminal.until(r"\[approved by \S+\]\n")
    terminal.until(f"refunded A-2.*{ANSWER}\n> ")
    terminal.press_ctrl_d()

    assert terminal.end() == 0


def test_ctrl_d_leaves_an_approval_open(project: Project) -> None:
    first = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    first.until("> ")
    first.type("refund A-1")
    first.until("why not\\] ")
    first.press_ctrl_d()
    first.until("the approval stays open: enter the chat again to answer it")
    assert first.end() == 0
    again = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    again.until("why not\\] ")
    again.type("y")
    again.until(f"{ANSWER}\n> ")
    again.press_ctrl_d()

    assert again.end() == 0


def test_only_a_clear_answer_decides_an_approval(project: Project) -> None:
    terminal = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    terminal.until("> ")
    terminal.type("refund A-1")
    terminal.until(r'\? support: refund  \{"order": ?"A-1"\}\n')
    for unclear in ("", "yes if he asked"):
        terminal.until(r"approve\? \[y, n, or why not\] ")
        terminal.type(unclear)
    terminal.until(r"approve\? \[y, n, or why not\] ")
    terminal.type("n")
    terminal.until(r"\[rejected by \S+\]\n")
    terminal.until(f"{ANSWER}\n> ")
    terminal.type("refund A-2")
    terminal.until(r"why not\] ")
    terminal.type("too dear")
    terminal.until(r"\[rejected by \S+: too dear\]\n")
    terminal.until(f"{ANSWER}\n> ")
    terminal.press_ctrl_d()

    assert terminal.end() == 0


def test_a_chat_that_is_entered_again_asks_and_interrupts_as_before(project: Project) -> None:
    first = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    first.until("> ")
    first.type("refund A-1")
    first.until("why not\\] ")
    first.kill()
    again = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    again.until("why not\\] ")
    again.type("y")
    again.until(f"{ANSWER}\n> ")
    again.type("slowly please")
    again.until("You said")
    again.kill()
    last = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    last.until("You said slowly")
    last.press_ctrl_c()
    last.until(r"\[interrupted\]\n> ")
    last.press_ctrl_c()

    assert last.end() == 130


def test_what_was_typed_for_an_approval_is_not_said_to_the_agent(project: Project) -> None:
    terminal = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    terminal.until("> ")
    terminal.type("refund slowly")
    terminal.until("why not\\] ")
    [waiting] = project("inbox", "--json").rows
    project("approve", f"{waiting['id']}")
    terminal.until(r"\[approved by \S+\]\n")
    terminal.type("because it is dear")
    terminal.until("not sent, since the approval was answered meanwhile: because it is dear")
    terminal.until(f"{ANSWER}\n> ")
    terminal.press_ctrl_d()
    told = project("agent", "show", "Support", "cli")

    assert terminal.end() == 0
    assert "because it is dear" not in told.out


def test_a_line_that_the_terminal_has_cut_is_not_sent(project: Project) -> None:
    terminal = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    terminal.until("> ")
    terminal.type("x" * 6_000)
    terminal.until("so it was not sent")
    terminal.press_ctrl_d()

    assert terminal.end() == 0
    assert project("agent", "show", "Support", "cli").out == ""


def test_a_call_that_was_not_approved_yet_is_told_as_one_that_was_not_made(
    project: Project,
) -> None:
    terminal = Terminal(project.directory, "agent", "chat", "chat.py:Support")
    terminal.until("> ")
    terminal.type("refund A-1")
    terminal.until("why not\\] ")
    terminal.press_ctrl_c()
    terminal.until(r"\[interrupted\]\n> ")
    terminal.press_ctrl_d()
    told = project("agent", "show", "Support", "cli")

    assert terminal.end() == 0
    assert "The call was not made" in told.out


def test_an_agent_that_is_not_there_is_named_with_those_that_are(project: Project) -> None:
    done = project("agent", "chat", "chat.py:Nobody")

    assert done.code != 0
    assert "chat.py has no agent 'Nobody'; its agents: chat.Judge, chat.Support" in done.err


def test_at_a_terminal_turns_are_steered_interrupted_and_approved(project: Project) -> None:
    terminal = Terminal(project.directory, "agent", "chat", "chat.py:Support", "--key", "ann")
    terminal.until("> ")
    terminal.type("refund A-1")
    terminal.until(r"approve\? \[y, n, or why not\] ")
    terminal.type("y")
    text = terminal.until(f"{ANSWER}\n> ")
    assert '· refund({"order":"A-1"}) → refunded A-1' in text

    terminal.type("slowly please")
    terminal.until("You said")
    terminal.press_ctrl_c()
    text = terminal.until(r"\[interrupted\]\n> ")
    assert ANSWER not in text

    terminal.type("slowly again")
    terminal.until("You said")
    terminal.type("in short")
    assert ANSWER in terminal.until("You said in short")
    terminal.until(f"{ANSWER}\n> ")

    terminal.press_ctrl_d()
    assert terminal.end() == 0
    again = Terminal(project.directory, "agent", "chat", "chat.py:Support", "--key", "ann")
    text = again.until("> ")
    assert "you: refund A-1" in text
    assert re.search(r"\? .*refund.*\n  \[approved by \S+\]\n", text)
    assert "[interrupted]" in text
    again.press_ctrl_c()
    assert again.end() == 130


def test_a_chat_goes_on_when_its_server_is_killed_and_started_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(project.directory, project.directory / "chat.py")
    monkeypatch.setenv("OUTLAST_TOKEN", server.token)
    server.start()
    try:
        until(lambda: project("ls", "--url", server.url).code == 0)
        terminal = Terminal(project.directory, "agent", "chat", "Support", "--url", server.url)
        terminal.until("> ")
        terminal.type("slowly please")
        terminal.until("You said")
        server.kill()
        server.start()
        terminal.until(f"{ANSWER}\n> ")
        terminal.type("refund A-1")
        terminal.until("why not\\] ")
        terminal.type("y")
        terminal.until(r"\[approved by \S+\]\n")
        terminal.until(f"refunded A-1 {ANSWER}\n> ")
        terminal.press_ctrl_d()
        code = terminal.end()
        told = project("agent", "show", "Support", "cli", "--url", server.url)
    finally:
        server.kill()

    assert code == 0
    assert told.out.count(f"You said slowly please  {ANSWER}") == 1


def test_an_agent_of_a_server_is_chatted_with_over_its_url(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(project.directory, project.directory / "chat.py")
    monkeypatch.setenv("OUTLAST_TOKEN", server.token)
    server.start()
    try:
        until(lambda: project("ls", "--url", server.url).code == 0)
        said = project("agent", "chat", "Support", "--url", server.url, stdin="hello")
        beside = project("agent", "chat", "Support", "--db", "outlast.db", stdin="again")
        stopped = project("agent", "stop", "Support", "cli", "--url", server.url)
    finally:
        server.kill()

    assert (said.out, said.err) == (f"You said hello  {ANSWER}\n", "")
    assert beside.out == f"You said again  {ANSWER}\n"
    assert stopped.err == "stopped: chat.Support/cli\n"
