"""`outlast version`."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata

import apsw
import click

from outlast._built import BUILT
from outlast.cli.places import json_option
from outlast.cli.printing import as_json, safe_line, say


def own_version() -> str:
    """Return the installed version of outlast."""
    try:
        return metadata.version("outlast")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


@click.command()
@json_option
def version(*, as_data: bool) -> None:
    """Show version information."""
    versions: dict[str, object] = {
        "outlast": own_version(),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
    }
    if BUILT is not None:
        built_at = datetime.fromtimestamp(BUILT.built_at, UTC)
        versions["program"] = {
            "name": BUILT.name,
            "app": BUILT.app,
            "code": BUILT.code,
            "built_at": built_at,
            "workflows": BUILT.versions,
        }
        if not as_data:
            say(safe_line(f"{BUILT.name} {BUILT.code} (built {built_at:%Y-%m-%d %H:%M:%S} UTC)"))
    if as_data:
        say(as_json(versions))
    else:
        say(
            f"outlast {versions['outlast']} (Python {versions['python']}, "
            f"SQLite {versions['sqlite']})"
        )
