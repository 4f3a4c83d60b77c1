"""The unit, the manifests, and what `ldd` says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from outlast.building.image import USER
from outlast.building.libraries import libraries_of, paths_in
from outlast.building.manifests import manifests_of
from outlast.building.units import unit_of

# In a process of its own, since the parser has no types. Strict: no key twice in one mapping.
STRICT_PARSER = """
import json, sys, yaml

class Strict(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise ValueError(f"a key comes twice: {keys}")
        return super().construct_mapping(node, deep=deep)

json.dump(list(yaml.load_all(sys.stdin.read(), Loader=Strict)), sys.stdout)
"""


def parsed(text: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", STRICT_PARSER],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=list[object])


def at(node: object, *path: str | int) -> object:
    for part in path:
        if isinstance(part, int):
            node = msgspec.convert(node, list[object])[part]
        else:
            node = msgspec.convert(node, dict[str, object])[part]
    return node


@pytest.fixture
def manifests() -> dict[str, object]:
    text = manifests_of("shop", "abc123", 8787)
    return {str(at(document, "kind")): document for document in parsed(text)}


def test_there_is_one_server_with_its_disk_its_name_and_its_token(
    manifests: dict[str, object],
) -> None:
    assert set(manifests) == {"Secret", "Service", "StatefulSet"}
    stateful = manifests["StatefulSet"]
    assert at(stateful, "spec", "replicas") == 1
    claim = at(stateful, "spec", "volumeClaimTemplates", 0)
    assert at(claim, "metadata", "name") == "data"
    secret = at(manifests["Secret"], "metadata", "name")
    container = at(stateful, "spec", "template", "spec", "containers", 0)
    assert at(container, "env", 0, "valueFrom", "secretKeyRef", "name") == secret
    assert at(container, "image") == "shop:abc123"
    assert at(container, "volumeMounts", 0) == {"name": "data", "mountPath": "/data"}


def test_labels_of_selectors_are_those_of_the_pod(manifests: dict[str, object]) -> None:
    labels = at(manifests["StatefulSet"], "spec", "template", "metadata", "labels")

    assert at(manifests["StatefulSet"], "spec", "selector", "matchLabels") == labels
    assert at(manifests["Service"], "spec", "selector") == labels
    assert at(manifests["Service"], "spec", "ports", 0, "targetPort") == "http"


@pytest.mark.parametrize("name", ["yes", "null", "123", "1e3", "true", "0x1f", "1-2-3"])
def test_a_name_stays_text_whatever_yaml_makes_of_it(name: str) -> None:
    documents = {str(at(one, "kind")): one for one in parsed(manifests_of(name, "1", 8787))}
    stateful, service = documents["StatefulSet"], documents["Service"]

    assert at(stateful, "metadata", "name") == at(service, "metadata", "name") == name
    assert at(stateful, "spec", "serviceName") == name
    labels = at(stateful, "spec", "template", "metadata", "labels")
    assert labels == {"app.kubernetes.io/name": name}
    assert at(stateful, "spec", "template", "spec", "containers", 0, "name") == name
    assert at(documents["Secret"], "metadata", "name") == f"{name}-token"


def test_it_can_do_little_and_is_asked_how_it_does(manifests: dict[str, object]) -> None:
    pod = at(manifests["StatefulSet"], "spec", "template", "spec")
    container = at(pod, "containers", 0)

    assert at(pod, "securityContext", "runAsNonRoot") is True
    assert at(pod, "securityContext", "runAsUser") == USER
    assert at(container, "securityContext") == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert at(container, "livenessProbe", "httpGet", "path") == "/healthz"
    assert at(container, "readinessProbe", "exec", "command") == [
        "/app/shop",
        "ready",
        "--port=8787",
    ]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "shop.service"
    # What it starts must be there to be verified.
    unit.write_text(unit_of("shop", 8787).replace("/usr/local/bin/shop", "/bin/true"))

    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_says_what_it_may() -> None:
    lines = unit_of("shop", 8787).splitlines()

    for line in (
        "Type=notify",
        "DynamicUser=yes",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "StateDirectory=shop",
        "MemoryDenyWriteExecute=yes",
    ):
        assert line in lines
    settings = [line.partition("=")[0] for line in lines if "=" in line and line[0] != "#"]
    twice = {name for name in settings if settings.count(name) > 1}
    assert twice == {"SystemCallFilter"}


def test_libraries_are_read_from_what_ldd_says() -> None:
    said = """/tmp/tree/shop:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f2)
/tmp/tree/other.so:
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f3)
\tstatically linked
"""
    assert paths_in(said) == [
        Path("/lib/x86_64-linux-gnu/libc.so.6"),
        Path("/lib64/ld-linux-x86-64.so.2"),
    ]


@pytest.mark.skipif(shutil.which("ldd") is None, reason="there is no ldd")
def test_a_trees_own_libraries_are_not_the_systems(tmp_path: Path) -> None:
    shutil.copyfile("/bin/sh", tmp_path / "program")
    (tmp_path / "text").write_text("no program")

    found = libraries_of(tmp_path)

    assert any(path.name.startswith("libc.") for path in found)
    assert all(path.is_file() for path in found)
