"""`outlast build`: what it makes runs where there is nothing else."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from outlast.building.image import USER
from tests.e2e.commands import SOURCE, Done, Project, end, until
from tests.e2e.roots import Root, Server

EPOCH = "1700000000"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or importlib.util.find_spec("PyInstaller") is None,
    reason="executables are built with PyInstaller, and tried on Linux",
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="chroot is for root")


class Made(msgspec.Struct):
    """What `build --json` prints."""

    kind: str
    path: str
    bytes: int
    sha256: str
    code: str
    built_at: int


class Inside(msgspec.Struct):
    code: str
    built_at: str
    workflows: dict[str, str]


class Versions(msgspec.Struct):
    program: Inside


class Described(msgspec.Struct):
    digest: str


class Index(msgspec.Struct):
    manifests: list[Described]


class Manifest(msgspec.Struct):
    layers: list[Described]


def build(project: Project, *args: str) -> Made:
    done = project("build", "app.py", "--json", *args, env={"SOURCE_DATE_EPOCH": EPOCH})
    assert done.code == 0, done.err
    return msgspec.json.decode(done.out, type=Made)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Path]:
    """One executable file for all tests: it takes a quarter of a minute."""
    project = Project(tmp_path_factory.mktemp("build") / "shop")
    made = build(project, "--name", "shop")
    return made, project.directory / made.path


@pytest.fixture
def root(tmp_path: Path, shop: tuple[Made, Path]) -> Root:
    (tmp_path / "root").mkdir()
    found = Root(tmp_path / "root")
    found.install(shop[1])
    return found


def run(executable: Path, directory: Path, *args: str) -> Done:
    done = subprocess.run(
        [executable, *args],
        cwd=directory,
        env={"OUTLAST_DB": str(directory / ".outlast" / "outlast.db")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_result_is_one_file_that_says_what_it_is(
    shop: tuple[Made, Path], tmp_path: Path
) -> None:
    made, executable = shop

    said = run(executable, tmp_path, "version", "--json")
    version = msgspec.json.decode(said.out, type=Versions).program

    assert (made.kind, made.path) == ("onefile", "dist/shop")
    assert made.bytes == executable.stat().st_size < 20 * 2**20
    assert version.code == made.code
    assert version.built_at == "2023-11-14T22:13:20+00:00"
    assert "app.greet" in version.workflows
    assert f"shop {made.code} (built 2023-11-14" in run(executable, tmp_path, "version").out


def test_it_is_the_command_line_with_the_program_inside(
    shop: tuple[Made, Path], tmp_path: Path
) -> None:
    _, executable = shop

    assert run(executable, tmp_path, "run", "greet", "name=Ada").out == "Hello, Ada!\n"
    assert run(executable, tmp_path, "run", "app.py:greet", "name=Ada").out == "Hello, Ada!\n"
    squares = run(executable, tmp_path, "run", "squares", "--id", "s")
    assert squares.out == "[0, 1, 4]\n", squares.err  # worker processes are the file again
    assert "completed" in run(executable, tmp_path, "show", "s").out

    other = run(executable, tmp_path, "run", "other.py:greet")
    assert (other.code, "contains app.py" in other.err) == (2, True)
    bench = run(executable, tmp_path, "bench")
    assert (bench.code, "no command 'bench' in a built executable" in bench.err) == (2, True)
    failed = run(executable, tmp_path, "run", "fail", "text=no", "--id", "f")
    assert failed.code == 1
    assert 'File "app.py", line' in run(executable, tmp_path, "show", "f").out


@pytest.mark.crash
def test_a_run_of_the_source_goes_on_in_the_executable_and_back(
    shop: tuple[Made, Path], project: Project
) -> None:
    _, executable = shop
    began = project.start("run", "app.py:approve", "--id", "there")
    until(lambda: "app.mark" in project("show", "there").out)  # recorded, not only done
    end(began)

    project("signal", "there", "approval", "true")
    done = run(executable, project.directory, "run", "approve", "--id", "there")

    assert (done.code, done.out) == (0, "true\n"), done.err
    assert project.effects() == ["asked"]
    built = run(executable, project.directory, "version", "--json")
    versions = msgspec.json.decode(built.out, type=Versions).program.workflows
    assert project("show", "there", "--json").fields["version"] == versions["app.approve"]

    assert run(executable, project.directory, "run", "slow", "seconds=0", "--id", "b").code == 0
    assert project("ls", "--json").rows[0]["version"] == versions["app.slow"]


@pytest.mark.crash
def test_whoever_kills_the_file_has_killed_the_engine(
    shop: tuple[Made, Path], tmp_path: Path
) -> None:
    outer = subprocess.Popen(
        [shop[1], "run", "slow", "seconds=30"],
        cwd=tmp_path,
        env={"OUTLAST_DB": str(tmp_path / "o.db"), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: (tmp_path / "effects.txt").exists())
    inner = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
    (unpacked,) = tmp_path.glob("_MEI*")

    outer.kill()
    outer.wait(timeout=60)

    until(lambda: not is_alive(inner))
    assert unpacked.exists()
    subprocess.run(
        [shop[1], "version"], env={"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL, check=True
    )
    assert list(tmp_path.glob("_MEI*")) == []


@pytest.mark.crash
def test_ctrl_c_reaches_both_processes_and_drains_once(
    shop: tuple[Made, Path], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [shop[1], "serve", "--port", "0"],
        cwd=tmp_path,
        env={"OUTLAST_DB": str(tmp_path / "o.db")},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert Server(process).port

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does; the outer process passes it on too

    _, said = process.communicate(timeout=60)
    assert (process.returncode, "draining" in said) == (0, True), said


def is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
    return "State:\tZ" not in status  # it has ended, and nobody has asked how


@needs_root
@pytest.mark.crash
def test_in_an_empty_root_it_runs_serves_and_goes_on_after_a_kill(root: Root) -> None:
    assert root("run", "greet", "name=Ada").out == "Hello, Ada!\n"
    squares = root("run", "squares")
    assert squares.out == "[0, 1, 4]\n", squares.err

    with root.serving("serve", "--port", "0") as server:
        assert server.ask("GET", "/healthz") == "ok"
        assert "<title>outlast" in server.ask("GET", "/")
        body = {"id": "s", "input": {"seconds": 3.0}}
        server.ask("POST", "/v1/workflows/app.slow/runs", body, [201])
        until(lambda: "app.mark" in server.ask("GET", "/v1/runs/s/journal"))
        assert root("ready", "--port", str(server.port)).code == 0
        server.process.kill()

    with root.serving("serve", "--port", "0") as server:
        answer = json.loads(server.ask("GET", "/v1/runs/s/result?timeout=20"))
        assert (answer["status"], answer["result"]) == ("completed", "done")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0

    assert (root.place / "effects.txt").read_text() == "begun\nended\n"
    assert list((root.place / "tmp").iterdir()) == []
    assert root("ready", "--port", str(server.port)).code == 4


@needs_root
def test_an_image_is_unpacked_and_serves_with_nothing_else(
    project: Project, tmp_path: Path
) -> None:
    made = build(project, "--image", "--name", "shop")
    (tmp_path / "root").mkdir()
    unpack(project.directory / made.path, tmp_path / "root")
    root = Root(tmp_path / "root", user=USER, directory="/data")
    root.executable = "/app/shop"

    assert root("run", "squares").out == "[0, 1, 4]\n"
    with root.serving("serve", "--port", "0", "--host", "0.0.0.0", "--behind-proxy") as server:
        assert server.ask("GET", "/healthz") == "ok"
        assert "<title>outlast" in server.ask("GET", "/")
    assert (tmp_path / "root" / "data" / "outlast.db").stat().st_uid == USER


def unpack(archive: Path, place: Path) -> None:
    with tarfile.open(archive) as layout:

        def read(name: str) -> bytes:
            file = layout.extractfile(name)
            assert file is not None
            return file.read()

        index = msgspec.json.decode(read("index.json"), type=Index)
        manifest = msgspec.json.decode(read(blob(index.manifests[0])), type=Manifest)
        layer = gzip.decompress(read(blob(manifest.layers[0])))
    with tarfile.open(fileobj=io.BytesIO(layer)) as tree:
        tree.extractall(place, filter="fully_trusted")  # made a minute ago, by us; owners count


def blob(described: Described) -> str:
    return f"blobs/{described.digest.replace(':', '/')}"


@pytest.mark.full
def test_two_builds_of_the_same_program_are_the_same_bytes(
    shop: tuple[Made, Path], project: Project
) -> None:
    again = build(project, "--name", "shop")
    first = build(project, "--onedir")
    second = build(project, "--onedir", "--output", "elsewhere/shop")

    assert again.sha256 == shop[0].sha256
    assert first.sha256 == second.sha256


@pytest.fixture
def without_pyinstaller(project: Project) -> Iterator[dict[str, str]]:
    hidden = project.directory / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'PyInstaller' else find(name, *rest)\n"
    )
    # First, so that it is found before anybody's own.
    yield {"PYTHONPATH": os.pathsep.join([str(hidden), str(SOURCE)])}
    shutil.rmtree(hidden)


def test_what_is_missing_is_said(project: Project, without_pyinstaller: dict[str, str]) -> None:
    no_tool = project("build", "app.py", env=without_pyinstaller)
    assert no_tool.code == 2
    assert "PyInstaller is not installed: pip install 'outlast[build]'" in no_tool.err

    no_app = project("build", "nothing.py")
    assert (no_app.code, "there is no file nothing.py" in no_app.err) == (3, True)

    (project.directory / "broken.py").write_text("import nowhere_at_all\n")
    broken = project("build", "broken.py")
    assert (broken.code, "broken.py:1: ModuleNotFoundError" in broken.err) == (2, True)

    no_data = project("build", "app.py", "--data", "nothing.txt")
    assert (no_data.code, "there is no such file" in no_data.err) == (2, True)


def test_units_and_manifests_are_written_once(project: Project) -> None:
    first = project("build", "app.py", "--systemd", env={"SOURCE_DATE_EPOCH": EPOCH})
    assert (first.code, first.out) == (0, "dist/app.service\n")
    unit = project.directory / "dist" / "app.service"
    assert "ExecStart=/usr/local/bin/app serve" in unit.read_text()

    again = project("build", "app.py", "--systemd")
    assert (again.code, "overwrite it with --force" in again.err) == (2, True)
    forced = project("build", "app.py", "--systemd", "--force", "--json")
    assert forced.fields["bytes"] == unit.stat().st_size

    made = build(project, "--k8s", "--name", "orders", "--output", "k8s.yaml")
    assert f'image: "orders:{made.code}"' in (project.directory / "k8s.yaml").read_text()
