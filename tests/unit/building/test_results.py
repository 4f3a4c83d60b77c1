from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from outlast.building.results import (
    check_place,
    move_to,
    name_of,
    output_of,
    put,
    size_and_digest,
    write_text,
)
from outlast.cli.program.build import build_time
from outlast.errors import UsageError


def test_a_name_is_one_for_files_services_and_pods() -> None:
    assert name_of("package.order_desk", None) == "order-desk"
    assert name_of("x", "given-1") == "given-1"
    for bad in ("", "-a", "a-", "Ä", "a/b", "a b", "a" * 64):
        with pytest.raises(UsageError, match="is not a valid name"):
            name_of("x", bad)


def test_results_go_below_dist_unless_it_is_said() -> None:
    assert output_of("onefile", "shop", None) == Path("dist/shop")
    assert output_of("image", "shop", None) == Path("dist/shop-image.tar")
    assert output_of("k8s", "shop", Path("here")) == Path("here")


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    file = tmp_path / "shop"
    check_place(file, force=False)
    file.write_text("old")

    with pytest.raises(UsageError, match="overwrite it with --force"):
        check_place(file, force=False)
    check_place(file, force=True)


def test_a_directory_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "oci-layout").touch()

    with pytest.raises(UsageError, match="not created by a build"):
        check_place(tmp_path / "letters", force=True)
    check_place(tmp_path / "image", force=True)


def test_a_build_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "dist" / "shop.service"
    put(output, write_text("first"))

    def fail(place: Path) -> None:
        place.write_text("half")
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        put(output, fail)
    assert output.read_text() == "first"
    assert list(output.parent.iterdir()) == [output]


def test_a_directory_takes_the_place_of_a_directory(tmp_path: Path) -> None:
    for number in ("1", "2"):
        source = tmp_path / f"source{number}"
        source.mkdir()
        (source / number).write_text(number)
        put(tmp_path / "out", move_to(source))

    assert [file.name for file in (tmp_path / "out").iterdir()] == ["2"]


def test_the_digest_of_a_directory_is_that_of_its_list(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"22")
    (tmp_path / "a").write_bytes(b"1")

    lines = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in (("a", b"1"), ("b/c", b"22"))
    )
    assert size_and_digest(tmp_path) == (3, hashlib.sha256(lines.encode()).hexdigest())
    assert size_and_digest(tmp_path / "a") == (1, hashlib.sha256(b"1").hexdigest())


def test_the_time_of_a_build_may_be_given() -> None:
    assert build_time("1700000000") == 1_700_000_000
    assert build_time(None) > 1_700_000_000
    with pytest.raises(UsageError, match="seconds since 1970"):
        build_time("yesterday")
