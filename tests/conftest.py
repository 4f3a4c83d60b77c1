"""What tests of several folders need."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A gate must not fail by luck on a change that is fine: it tries the same examples every time.
# The full suite looks for new ones. Nor may it fail because the machine has other work: how long an
# example takes is no matter of these tests.
settings.register_profile(
    "gate",
    derandomize=True,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", print_blob=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("explore" if os.environ.get("OUTLAST_TEST_FULL") == "1" else "gate")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave all that was imported out of collections: every engine that opens begins with one.

    The heap of a session with thousands of tests takes a tenth of a second to go through.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_of_the_callers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, a database or a server that somebody works with is no matter of the tests."""
    for name in ("CA_FILE", "DB", "KEYS", "KEY_FILE", "TOKEN"):
        monkeypatch.delenv(f"OUTLAST_{name}", raising=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount here")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "outlast-test", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run([umount, str(place)], check=True)
