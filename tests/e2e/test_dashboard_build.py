"""What the build of the dashboard gives: small, without anything inline, from nowhere else."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess

import pytest

from tests.e2e.dashboards import ROOT, STATIC, built

SOURCES = ROOT / "dashboard"
SCRIPT_BYTES_MAX = 120 * 1024
LINES_MAX = 400


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    built()


def test_the_page_loads_only_its_own_files_with_names_that_change() -> None:
    page = (STATIC / "index.html").read_text()

    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    for name in loaded:
        assert re.fullmatch(r"\./assets/\S+-[\w-]{8}\.(js|css|svg)", name)
        assert (STATIC / name).is_file()


def test_the_page_has_no_inline_script_or_style() -> None:
    page = (STATIC / "index.html").read_text()

    assert re.findall(r"<script[^>]*>([^<]+)", page) == []
    assert "<style" not in page
    assert re.findall(r"\s(?:style|on\w+)=", page) == []


def test_nothing_is_loaded_from_elsewhere_and_no_value_becomes_markup() -> None:
    sources = [path for path in SOURCES.glob("src/**/*") if path.suffix in (".ts", ".tsx", ".css")]
    assert len(sources) > 40
    for path in sources:
        text = path.read_text()
        for forbidden in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "as any"):
            assert forbidden not in text, f"{forbidden} in {path}"
        assert not re.search(r"https?://", text.replace("http://host", "")), f"an address in {path}"
    for path in STATIC.glob("assets/*.css"):
        assert not re.search(r"url\((?!data:)", path.read_text())


def test_json_has_one_reader_and_one_writer() -> None:
    """JavaScript's own round large integers: no view may call them."""
    for path in SOURCES.glob("src/**/*.ts*"):
        if path.name != "json.ts":
            assert not re.search(r"\bJSON\.(parse|stringify)|\.json\(\)", path.read_text()), path


def test_the_script_is_small() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in STATIC.glob("**/*.js")}

    assert sum(sizes.values()) < SCRIPT_BYTES_MAX, sizes
    # What seldom is opened comes only then.
    assert any(
        "uPlot" in path.read_text() or "metrics" in path.name
        for path in STATIC.glob("assets/metrics*.js")
    )


def test_files_stay_small() -> None:
    for path in SOURCES.glob("src/**/*.*"):
        assert len(path.read_text().splitlines()) <= LINES_MAX, path


def test_the_lock_file_names_no_registry() -> None:
    lock = (SOURCES / "package-lock.json").read_text()

    assert '"resolved"' not in lock
    assert '"integrity"' in lock
    hosts = set(re.findall(r'"(?:https?|git\+\w+)://([^/"]+)', lock))
    # Where packages ask for donations; nothing is fetched from there.
    assert hosts <= {"github.com", "opencollective.com", "tidelift.com", "paulmillr.com"}


def test_types_hold_and_the_logic_does_what_it_says() -> None:
    npm = shutil.which("npm")
    if npm is None or not (SOURCES / "node_modules").is_dir():
        pytest.skip("there is no npm, or the tools of the dashboard are not installed")
    for script in ("types", "test"):
        done = subprocess.run(
            [npm, "run", script], cwd=SOURCES, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
