"""How long does it take until outlast is there?

Runs fresh interpreters in turn: a bare one, `import asyncio`, `import outlast`, all its public
names (what a program pays that uses the engine) and `outlast --help`, so that a slow moment of the
machine touches all alike. Prints p50 and p99 of each, and the ratio of its p50 to the bare
interpreter's: milliseconds differ between machines, ratios less.

Run it: python benchmarks/bench_import.py [ROUNDS]
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 40
WARM_UP_ROUNDS = 3  # writes the byte code and fills the disk cache

COMMANDS: dict[str, list[str]] = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import asyncio": [sys.executable, "-c", "import asyncio"],
    "import outlast": [sys.executable, "-c", "import outlast"],
    "all names": [sys.executable, "-c", "from outlast import *"],
    "outlast --help": [str(Path(sys.executable).with_name("outlast")), "--help"],
}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    for _ in range(WARM_UP_ROUNDS):
        one_round()
    measured = [one_round() for _ in range(rounds)]

    print(f"commit {commit()}, Python {platform.python_version()}, {platform.platform()}")
    print(f"{rounds} rounds, milliseconds")
    print(f"{'':18} {'p50':>8} {'p99':>8} {'ratio':>8}")
    bare = statistics.median(times["bare interpreter"] for times in measured)
    for name in COMMANDS:
        times = sorted(times[name] for times in measured)
        p50 = statistics.median(times)
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        print(f"{name:18} {p50 * 1e3:8.1f} {p99 * 1e3:8.1f} {p50 / bare:8.2f}")


def one_round() -> dict[str, float]:
    return {name: seconds(command) for name, command in COMMANDS.items()}


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "unknown (no git)"
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
