"""`outlast serve` as a user meets it: started, called from the command line, killed, drained."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast import limits
from tests.e2e.commands import APP, Done, Project, end, until
from tests.unit.server.certificates import self_signed


@dataclass
class Serving:
    """A server of the project's app."""

    project: Project
    process: subprocess.Popen[str]
    url: str

    def __call__(self, *args: str, stdin: str = "") -> Done:
        return self.project(*args, "--url", self.url, stdin=stdin)


def serve(project: Project, *args: str) -> Serving:
    process = project.start("serve", "app.py", "--port", "0", *args)
    assert process.stderr is not None
    line = ""
    while " at http://" not in line:
        line = process.stderr.readline()
        assert line, "the server did not start"
    return Serving(project, process, line.split(" at ")[1].split()[0])


@pytest.fixture
def served(project: Project) -> Iterator[Serving]:
    serving = serve(project)
    yield serving
    end(serving.process)


def test_every_verb_goes_over_http(served: Serving) -> None:
    ran = served("run", "app.py:greet", "name=Ann", "--id", "r/1", "--json")
    assert (ran.code, ran.out) == (0, '"Hello, Ann!"\n')
    assert served("show", "r/1", "--json").fields["status"] == "completed"
    assert [row["id"] for row in served("ls", "--json").rows] == ["r/1"]
    assert "completed" in served("why", "r/1").out
    assert [line["kind"] for line in served("tail", "r/1", "--json").lines][-1] == "run_closed"

    assert served("run", "app.py:approve", "--id", "a", "--detach").out == "a\n"
    watching = served.project.start("watch", "a", "--url", served.url)
    assert watching.stdout is not None
    first = watching.stdout.readline()  # it is said at once, not at the end
    assert served("pause", "a").code == 0
    assert served("resume", "a").code == 0
    assert served("signal", "a", "approval", "true", "--dedup", "1").code == 0
    assert served("run", "app.py:approve", "--id", "a").out == "true\n"
    watched, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert "approval" in first + watched
    assert "completed" in watched.splitlines()[-1]

    served("run", "app.py:refund", "cents=5", "--id", "f", "--detach")
    until(lambda: bool(served("inbox", "--json").rows))
    asked = served("inbox", "--json").rows[0]
    assert served("approve", f"{asked['id']}", "--reason", "fine").code == 0
    assert served("run", "app.py:refund", "cents=5", "--id", "f").out == "True admin fine\n"
    late = served("reject", f"{asked['id']}")
    assert (late.code, "admin has already answered" in late.err) == (1, True)

    forked = served("fork", "f", "--at", "3")
    assert forked.code == 0
    assert served("diff", "f", forked.out.strip()).code == 1
    assert served("tail", "t", "--stream", "words").code == 3
    served("run", "app.py:talk", "--id", "t", "--detach")
    words = served("tail", "t", "--stream", "words")
    assert words.out == "a\nb\n\\x1b[31mred\n"
    unwritten = served("tail", "f", "--stream", "nope")
    assert unwritten.code == 3
    assert "has ended (completed); it has no streams" in unwritten.err


def test_what_was_logged_is_read_there_and_here(served: Serving) -> None:
    served("run", "app.py:fail", "text=no luck", "--id", "e")
    served("run", "app.py:fail", "text=no luck", "--id", "f")
    there = served("logs", "f", "--json")
    assert there.lines
    assert {line["run"] for line in there.lines} == {"f"}
    assert served.project("logs", "f", "--json").out == there.out
    assert len(served("logs", "--json").lines) > len(there.lines)
    assert "there are no log lines for run nobody" in served("logs", "nobody").err
    following = served.project.start("logs", "g", "--follow", "--url", served.url)
    served("run", "app.py:fail", "text=again", "--id", "g")
    assert following.stdout is not None
    assert "[g]" in following.stdout.readline()
    end(following)


def test_a_flow_is_run_without_its_code(served: Serving) -> None:
    (served.project.directory / "app.py").rename(served.project.directory / "gone.txt")
    by_name = served("run", "greet", "name=5", "times=2", "--json")
    again = served("run", "app:greet", "times=2", "name=5", "--json")
    followed = served("run", "app.greet", "--input", '{"name": "Ann"}', "--id", "ann", "--follow")
    detached = served("run", "app.py:greet", "name=Bob", "--id", "bob", "--detach")
    unknown = served("run", "nobody", "name=Ann")
    unfit = served("run", "greet", "name=Ann", "times=x", "colour=red")
    failed = served("run", "fail", "text=no luck")

    assert (by_name.code, by_name.out) == (0, '"Hello, 5!, Hello, 5!"\n')
    assert (again.code, again.out, "started before" in again.err) == (0, by_name.out, True)
    assert (followed.code, followed.out) == (0, "Hello, Ann!\n")
    assert "run_closed" in followed.err
    assert (detached.code, detached.out) == (0, "bob\n")
    assert served("run", "greet", "name=Bob", "--id", "bob").out == "Hello, Bob!\n"
    assert (unknown.code, "app.greet" in unknown.err) == (3, True)
    assert unfit.code == 2
    assert "does not fit app.greet" in unfit.err
    assert "$.times: declared int, got str" in unfit.err
    assert "$.colour: unknown argument" in unfit.err
    assert (failed.code, "ValueError: no luck" in failed.err) == (1, True)


def test_mistakes_are_said_with_what_to_do(served: Serving) -> None:
    nobody = served("cancel", "nobody")
    assert (nobody.code, "outlast ls" in nobody.err) == (3, True)
    unfit = served("run", "app.py:greet", "name=Ann", "times=x")
    assert unfit.code == 2
    served("run", "app.py:fail", "text=no luck", "--id", "x")
    failed = served("run", "app.py:fail", "text=no luck", "--id", "y")
    assert (failed.code, "ValueError: no luck" in failed.err) == (1, True)
    away = served.project("ls", "--url", "http://127.0.0.1:1")
    assert (away.code, "outlast serve" in away.err) == (4, True)
    wrong = served.project("ls", "--url", served.url, env={"OUTLAST_TOKEN": "x" * 40})
    assert (wrong.code, "token" in wrong.err) == (4, True)
    both = served.project("ls", "--url", served.url, "--db", "x.db")
    assert both.code == 2
    second = served.project("serve", "app.py", "--port", served.url.rpartition(":")[2])
    assert (second.code, "--port" in second.err) == (2, True)
    third = served.project("serve", "app.py", "--port", "0")
    assert (third.code, "owned by process" in third.err) == (4, True)


def test_the_token_is_made_for_its_user_alone(served: Serving) -> None:
    file = served.project.db.with_name("token")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    added = served.project("token", "add", "ann", "--role", "viewer")
    listed = served.project("ls", "--url", served.url, env={"OUTLAST_TOKEN": added.out.strip()})
    assert listed.code == 0
    refused = served.project(
        "signal", "x", "y", "--url", served.url, env={"OUTLAST_TOKEN": added.out.strip()}
    )
    assert "operator" in refused.err


def test_other_machines_need_tls_or_a_proxy(project: Project) -> None:
    refused = project("serve", "app.py", "--host", "0.0.0.0", "--port", "0")
    assert (refused.code, "--tls-cert" in refused.err) == (2, True)
    assert project("dev", "app.py", "--host", "0.0.0.0").code == 2


def test_a_killed_server_goes_on_and_a_stopped_one_drains(project: Project) -> None:
    first = serve(project)
    first("run", "app.py:approve", "--id", "s", "--detach")
    until(lambda: "app.mark" in first("show", "s").out)  # recorded, not only done
    end(first.process)

    second = serve(project)
    assert second("signal", "s", "approval", "true").code == 0
    assert second("run", "app.py:approve", "--id", "s").out == "true\n"
    assert project.effects() == ["asked"]
    done = end(second.process, signal.SIGTERM)
    assert done.code == 0
    assert "draining" in done.err


def test_a_probe_learns_whether_the_server_is_ready(served: Serving) -> None:
    port = served.url.rpartition(":")[2]

    assert served.project("ready", "--port", port).code == 0
    wrong = served.project("ready", "--port", port, env={"OUTLAST_TOKEN": "a-wrong-token-of-16"})
    assert (wrong.code, "not ready: 401" in wrong.err) == (1, True)
    missing = served.project("ready", "--port", port, "--token-file", "nothing")
    assert (missing.code, "cannot be read" in missing.err) == (2, True)
    end(served.process)
    gone = served.project("ready", "--port", port)
    assert (gone.code, "no server answers" in gone.err) == (4, True)


def test_a_probe_asks_a_server_with_tls(project: Project) -> None:
    tls = self_signed(project.directory)
    pair = ("--tls-cert", str(tls.certificate))
    process = project.start("serve", "app.py", "--port", "0", *pair, "--tls-key", str(tls.key))
    assert process.stderr is not None
    line = ""
    while " at https://" not in line:
        line = process.stderr.readline()
        assert line, "the server did not start"
    port = line.split(" at ")[1].split()[0].rpartition(":")[2]

    silent = [socket.create_connection(("127.0.0.1", int(port)), timeout=20) for _ in range(3)]
    silent[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert b"HTTP/1.1" not in silent[0].recv(1_000)  # it speaks no TLS: an alert, or hung up on
    assert project("ready", "--port", port, *pair).code == 0
    assert project("ready", "--port", port).code == 4
    useless = project("ready", "--port", port, "--tls-cert", "app.py")
    assert (useless.code, "cannot use the certificate" in useless.err) == (2, True)
    end(process)
    assert silent[1].recv(1_000) == b""  # a handshake that never came ends with the server
    for link in silent:
        link.close()


@pytest.mark.crash
def test_a_signal_that_comes_twice_at_once_is_one_and_a_later_one_ends_it(
    project: Project,
) -> None:
    served = serve(project)
    served("run", "app.py:blocked", "seconds=20", "--id", "b", "--detach")
    until(lambda: project.effects() == ["blocking"])

    served.process.send_signal(signal.SIGINT)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.stderr is not None
    while "draining" not in served.process.stderr.readline():
        assert served.process.poll() is None
    time.sleep(2 * limits.SIGNAL_ECHO_SECONDS)
    assert served.process.poll() is None

    assert end(served.process, signal.SIGINT).code == 130


def test_dev_serves_anew_what_is_saved(project: Project) -> None:
    app = project.directory / "app.py"
    process = project.start("dev", "app.py", "--port", "0")
    assert process.stderr is not None

    def next_link() -> str:
        while True:
            line = process.stderr.readline() if process.stderr is not None else ""
            assert line, "the server did not start"
            if line.startswith("dashboard: "):
                return line.split()[1]

    link = next_link()
    assert project.db.with_name("token").read_text().strip() not in link
    (serving,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(serving), signal.SIGKILL)
    while "was killed by SIGKILL" not in process.stderr.readline():
        pass
    link = next_link()
    app.write_text(app.read_text().replace("Hello", "Good day"))
    again = next_link()
    assert again.partition("#")[2] != link.partition("#")[2]
    url = again.partition("/#code=")[0]
    greeted = project("run", "app.py:greet", "name=Ann", "--url", url, "--json")
    assert json.loads(greeted.out) == "Good day, Ann!"
    app.write_text("this is no Python")
    while "waiting for a file" not in process.stderr.readline():
        pass
    app.write_text(APP)
    next_link()
    assert end(process, signal.SIGTERM).code == 0
