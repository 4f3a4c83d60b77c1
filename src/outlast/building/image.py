"""A container image with no container engine: an OCI image layout, of one layer.

Invariants:
  * the same tree gives the same bytes: entries are sorted, times are that of the build, owners are
    numbers;
  * every blob is named by the digest of its bytes, and described with its true size.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import platform
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from outlast.building.program import Program

PORT = 8787
USER = 65532  # nobody has this number; Kubernetes wants a number to see that it is not root
VOLUME = "/data"
APP = "/app"

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_TRUSTED = "etc/ssl/certs/ca-certificates.crt"
_PASSWD = f"root:x:0:0:root:/:/nonexistent\noutlast:x:{USER}:{USER}:outlast:{VOLUME}:/nonexistent\n"
_GROUP = f"root:x:0:\noutlast:x:{USER}:\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or directory of the layer."""

    path: str  # inside, without a slash before it
    mode: int
    source: Path | None = None
    text: str | None = None  # instead of a file
    link: str | None = None  # where a symbolic link points
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are found by their digest."""

    media_type: str
    data: bytes

    @property
    def hex(self) -> str:
        """Its digest, without the name of the algorithm."""
        return hashlib.sha256(self.data).hexdigest()

    def descriptor(self, **more: object) -> dict[str, object]:
        """Return how others refer to it."""
        described: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": f"sha256:{self.hex}",
            "size": len(self.data),
        }
        return {**described, **more}


@dataclass(frozen=True, slots=True)
class Image:
    """An image, as the files of its layout."""

    files: dict[str, bytes]
    digest: str

    def write_directory(self, place: Path) -> None:
        """Write the layout as a directory."""
        for name, data in self.files.items():
            file = place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def write_archive(self, file: Path) -> None:
        """Write the layout as a tar file."""
        with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in sorted(self.files.items()):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o644
                archive.addfile(member, io.BytesIO(data))


def entries_of(tree: Path, libraries: Sequence[Path]) -> list[Entry]:
    """Return what goes into the layer: a built directory, what it needs, and a minimal system."""
    found = [
        Entry("data", 0o700, owner=USER),
        Entry("tmp", 0o1777),
        Entry("etc/passwd", 0o644, text=_PASSWD),
        Entry("etc/group", 0o644, text=_GROUP),
    ]
    for path in sorted(tree.rglob("*")):
        inside = f"{APP[1:]}/{path.relative_to(tree)}"
        if path.is_symlink():
            found.append(Entry(inside, 0o777, link=str(path.readlink())))
        elif path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            found.append(Entry(inside, mode, source=path))
    found += [Entry(str(library)[1:], 0o755, source=library.resolve()) for library in libraries]
    trusted = next((Path(name) for name in _CERTIFICATES if Path(name).is_file()), None)
    if trusted is not None:
        found.append(Entry(_TRUSTED, 0o644, source=trusted.resolve()))
    return with_parents(found)


def with_parents(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries in order, each after the directories that it lies in."""
    known = {entry.path: entry for entry in entries}
    for entry in entries:
        for parent in Path(entry.path).parents:
            if str(parent) != ".":
                known.setdefault(str(parent), Entry(str(parent), 0o755))
    return [known[path] for path in sorted(known)]


def layer_of(entries: Sequence[Entry], built_at: int) -> bytes:
    """Return a tar file, not compressed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mode, member.mtime = entry.mode, built_at
            member.uid = member.gid = entry.owner
            data = _data_of(entry)
            if entry.link is not None:
                member.type, member.linkname = tarfile.SYMTYPE, entry.link
            elif data is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(data)
            archive.addfile(member, None if data is None else io.BytesIO(data))
    return stream.getvalue()


def _data_of(entry: Entry) -> bytes | None:
    if entry.text is not None:
        return entry.text.encode()
    return entry.source.read_bytes() if entry.source is not None else None


def image_of(
    program: Program,
    name: str,
    tree: Path,
    libraries: Sequence[Path],
    *,
    built_at: int,
    progress: Callable[[str], None],
) -> Image:
    """Return an image that serves a program."""
    progress("packing the layer")
    raw = layer_of(entries_of(tree, libraries), built_at)
    layer = Blob(_LAYER, gzip.compress(raw, compresslevel=9, mtime=0))
    created = datetime.fromtimestamp(built_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.version": program.code,
        "org.opencontainers.image.created": created,
    }
    config = _blob(
        _CONFIG,
        {
            "created": created,
            "architecture": architecture,
            "os": "linux",
            "config": config_of(name, labels),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(raw).hexdigest()}"]},
            "history": [{"created": created, "created_by": "outlast build --image"}],
        },
    )
    manifest = _blob(
        _MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "annotations": labels,
        },
    )
    reference = {"org.opencontainers.image.ref.name": program.code}
    described = manifest.descriptor(
        platform={"architecture": architecture, "os": "linux"}, annotations=reference
    )
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [described]}
    files = {f"blobs/sha256/{blob.hex}": blob.data for blob in (layer, config, manifest)}
    files["index.json"] = msgspec.json.encode(index)
    files["oci-layout"] = msgspec.json.encode({"imageLayoutVersion": "1.0.0"})
    return Image(files, f"sha256:{manifest.hex}")


def config_of(name: str, labels: dict[str, str]) -> dict[str, object]:
    """Return how a container of the image runs."""
    return {
        "User": f"{USER}:{USER}",
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "Env": [
            "PATH=/app",
            "LANG=C.UTF-8",
            f"HOME={VOLUME}",
            f"OUTLAST_DB={VOLUME}/outlast.db",
            f"SSL_CERT_FILE=/{_TRUSTED}",
        ],
        "Entrypoint": [f"{APP}/{name}", "serve"],
        # A container is reached from outside of it only; TLS is what stands before it.
        "Cmd": ["--host", "0.0.0.0", "--port", str(PORT), "--behind-proxy"],
        "Volumes": {VOLUME: {}},
        "WorkingDir": VOLUME,
        "Labels": labels,
        "StopSignal": "SIGTERM",
    }


def _blob(media_type: str, content: object) -> Blob:
    return Blob(media_type, msgspec.json.encode(content))
