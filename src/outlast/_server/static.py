"""The dashboard's files: one page, and what it loads, whose names change with their contents."""

from __future__ import annotations

from importlib import resources

from starlette.responses import Response

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}
_FOREVER = "public, max-age=31536000, immutable"
_NOT_BUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>outlast</title>
<h1>The dashboard is not built here</h1>
<p>The server works without it. In a clone of the repository, <code>python3 dev dashboard</code>
builds it; a wheel has it inside.</p></html>
"""


class Static:
    """All files, read once: they are few and small, and nothing in a path leads to others."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, bytes]] = {}
        root = resources.files("outlast._server").joinpath("static")
        pending = [("", root)] if root.is_dir() else []
        while pending:
            path, place = pending.pop()
            for child in place.iterdir():
                name = f"{path}/{child.name}"
                kind = _TYPES.get(child.name.rpartition(".")[2])
                if child.is_dir():
                    pending.append((name, child))
                elif kind is not None:
                    self._files[name] = (kind, child.read_bytes())

    def find(self, path: str) -> Response | None:
        """Return the file at a path, None when there is none."""
        if path == "/":
            kind, data = self._files.get("/index.html", (_TYPES["html"], _NOT_BUILT))
            return Response(data, media_type=kind, headers={"cache-control": "no-cache"})
        found = self._files.get(path)
        if found is None or path == "/index.html":
            return None
        kind, data = found
        caching = _FOREVER if path.startswith("/assets/") else "no-cache"
        return Response(data, media_type=kind, headers={"cache-control": caching})
