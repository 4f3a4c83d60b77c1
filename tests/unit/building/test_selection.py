from __future__ import annotations

from pathlib import Path

from outlast.building.program import Program
from outlast.building.selection import data_files, excludes, hidden_imports


def program(**changes: object) -> Program:
    fields: dict[str, object] = {
        "app": "shop.py",
        "module": "shop",
        "root": "/nowhere",
        "package": "",
        "modules": ["shop"],
        "imports": ["outlast"],
        "code": "abc",
        "versions": {},
    }
    return Program(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name, in a test


def test_commands_go_in_and_tools_for_making_programs_stay_out() -> None:
    hidden = hidden_imports(program(), ["asked.for"])

    assert {
        "outlast.cli.server.serving",
        "outlast._store.sqlite.store",
        "shop",
        "asked.for",
    } <= set(hidden)
    assert "outlast.building.startup" in hidden
    tools = ("outlast.testing", "outlast.bench", "outlast.demo", "outlast.cli.program.build")
    assert [name for name in hidden if name.startswith(tools)] == []
    assert "outlast.building.executable" not in hidden


def test_agents_go_in_with_a_program_that_uses_them() -> None:
    def of_agents(made: Program) -> list[str]:
        return [n for n in hidden_imports(made, []) if n.startswith("outlast.agents")]

    assert of_agents(program()) == []
    used = program(modules=["shop", "outlast.agents", "outlast.agents.steps"])
    assert {"outlast.agents", "outlast.agents.steps"} <= set(of_agents(used))
    # The protocols of pages, which it loads by name.
    assert {"outlast.agents.web.agui", "outlast.agents.web.vercel"} <= set(of_agents(used))


def test_encryption_goes_in_with_a_program_that_uses_it() -> None:
    used = program(modules=["shop", "outlast.encryption"])
    cipher = "outlast._codec.stored.aesgcm"

    assert cipher not in hidden_imports(program(), [])
    assert "cryptography" in excludes(program(), [])
    assert cipher in hidden_imports(used, [])
    assert "cryptography" not in excludes(used, [])


def test_nothing_stays_out_that_the_program_uses() -> None:
    assert {"numpy", "pydantic", "unittest", "yaml"} <= set(excludes(program(), []))

    used = excludes(program(modules=["shop", "pydantic.main"], imports=["numpy"]), ["yaml"])

    assert not {"numpy", "pydantic", "yaml"} & set(used)


def test_migrations_and_the_files_of_a_package_go_in(tmp_path: Path) -> None:
    (tmp_path / "shop" / "texts" / "__pycache__").mkdir(parents=True)
    (tmp_path / "shop" / "orders.py").touch()
    (tmp_path / "shop" / ".secret").touch()
    (tmp_path / "shop" / "texts" / "hello.txt").touch()
    (tmp_path / "shop" / "texts" / "__pycache__" / "x.bin").touch()

    found = data_files(program(root=str(tmp_path), package="shop"), ["/etc/more:more"])

    inside = {f"{folder}/{Path(file).name}" for file, folder in found}
    assert "outlast/_store/sqlite/migrations/0001_journal.sql" in inside
    own = [item for item in found if item[0].startswith(str(tmp_path))]
    assert own == [(str(tmp_path / "shop/texts/hello.txt"), "shop/texts")]
    assert ("/etc/more", "more") in found


def test_what_libraries_ask_of_their_distributions_goes_in() -> None:
    found = data_files(program(modules=["shop", "msgspec", "msgspec.json"]), [])

    inside = {(Path(file).name, place) for file, place in found if place.endswith(".dist-info")}
    assert {name for name, _ in inside} == {"METADATA"}
    assert [place.partition("-")[0] for _, place in inside] == ["msgspec"]
