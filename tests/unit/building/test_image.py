from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import msgspec

from outlast.building.image import USER, Image, image_of
from outlast.building.program import Program


class Descriptor(msgspec.Struct):
    digest: str
    size: int
    mediaType: str  # noqa: N815  # the format's own name


class Index(msgspec.Struct):
    manifests: list[Descriptor]


class Manifest(msgspec.Struct):
    config: Descriptor
    layers: list[Descriptor]


class RootFs(msgspec.Struct):
    diff_ids: list[str]


class Settings(msgspec.Struct):
    User: str
    Entrypoint: list[str]
    ExposedPorts: dict[str, object]
    Volumes: dict[str, object]


class Config(msgspec.Struct):
    architecture: str
    os: str
    rootfs: RootFs
    config: Settings


def small(place: Path) -> Image:
    tree = place / "tree"
    (tree / "_internal").mkdir(parents=True, exist_ok=True)
    (tree / "shop").write_bytes(b"run")
    (tree / "shop").chmod(0o755)
    (tree / "_internal" / "data").write_bytes(b"data")
    library = place / "libc.so"
    library.write_bytes(b"library")
    program = Program(
        app="shop.py",
        module="shop",
        root="/",
        package="",
        modules=[],
        imports=[],
        code="abc",
        versions={},
    )
    return image_of(
        program, "shop", tree, [library], built_at=1_700_000_000, progress=lambda _: None
    )


def read(image: Image, descriptor: Descriptor) -> bytes:
    data = image.files[f"blobs/sha256/{descriptor.digest.removeprefix('sha256:')}"]
    assert len(data) == descriptor.size
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == descriptor.digest
    return data


def test_every_blob_is_what_its_descriptor_says(tmp_path: Path) -> None:
    image = small(tmp_path)

    index = msgspec.json.decode(image.files["index.json"], type=Index)
    manifest = msgspec.json.decode(read(image, index.manifests[0]), type=Manifest)
    config = msgspec.json.decode(read(image, manifest.config), type=Config)
    layer = gzip.decompress(read(image, manifest.layers[0]))

    assert image.digest == index.manifests[0].digest
    assert config.rootfs.diff_ids == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert len(image.files) == 5
    assert msgspec.json.decode(image.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_it_serves_and_not_as_root(tmp_path: Path) -> None:
    image = small(tmp_path)
    index = msgspec.json.decode(image.files["index.json"], type=Index)
    manifest = msgspec.json.decode(read(image, index.manifests[0]), type=Manifest)
    settings = msgspec.json.decode(read(image, manifest.config), type=Config).config

    assert settings.Entrypoint == ["/app/shop", "serve"]
    assert settings.User == f"{USER}:{USER}"
    assert settings.ExposedPorts == {"8787/tcp": {}}
    assert settings.Volumes == {"/data": {}}


def test_the_layer_has_the_tree_its_libraries_and_little_else(tmp_path: Path) -> None:
    image = small(tmp_path)
    index = msgspec.json.decode(image.files["index.json"], type=Index)
    manifest = msgspec.json.decode(read(image, index.manifests[0]), type=Manifest)
    layer = gzip.decompress(read(image, manifest.layers[0]))

    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = {member.name: member for member in archive}
    assert list(members) == sorted(members)
    assert members["app/shop"].mode == 0o755
    assert members["app/_internal/data"].mode == 0o644
    assert f"{tmp_path}/libc.so"[1:] in members
    assert (members["data"].uid, members["data"].mode) == (USER, 0o700)
    assert members["tmp"].mode == 0o1777
    assert {member.mtime for member in members.values()} == {1_700_000_000}
    assert {member.uname for member in members.values()} == {""}
    for name in members:
        assert all(str(parent) in members for parent in list(Path(name).parents)[:-1])


def test_the_same_input_gives_the_same_bytes_as_directory_and_archive(tmp_path: Path) -> None:
    first, second = small(tmp_path), small(tmp_path)
    assert first == second

    first.write_archive(tmp_path / "a.tar")
    second.write_archive(tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()

    first.write_directory(tmp_path / "layout")
    with tarfile.open(tmp_path / "a.tar") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    written = [
        {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        for root in (tmp_path / "layout", tmp_path / "unpacked")
    ]
    assert written[0] == written[1]
    assert len(written[0]) == 5
