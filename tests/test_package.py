"""The package as a whole: light imports and one-way import directions."""

import ast
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "chorus"

MAY_IMPORT = {
    "topology": set(),
    "dynamics": set(),
    "attention": {"topology"},
    "thought": {"attention", "topology", "dynamics"},
    "mesh": {"topology", "dynamics"},
    "audit": {"topology"},
    "cli": {"topology", "dynamics", "attention", "thought", "mesh", "audit"},
}
EXTRA = {"mesh/members": {"thought"}, "audit/subjects": {"attention", "thought", "mesh", "dynamics"}}


def rooms_imported_by(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = [node.module or ""]
            if node.module == "chorus":
                names = [f"chorus.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("chorus.")}
    return found & MAY_IMPORT.keys()


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_go_one_way(room: str) -> None:
    for file in (SOURCE / room).rglob("*.py"):
        allowed = MAY_IMPORT[room] | {room}
        for place, more in EXTRA.items():
            if place in file.as_posix():
                allowed |= more
        assert rooms_imported_by(file) <= allowed, file


def modules_after(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def modules_imported_by(file: Path) -> set[str]:
    """Modules of the package named anywhere in a file, inside functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("chorus.")}


def test_no_two_files_of_the_topology_room_import_each_other() -> None:
    names = {f"chorus.topology.{file.stem}": file for file in (SOURCE / "topology").glob("*.py")}
    names.pop("chorus.topology.__init__")
    imports = {name: modules_imported_by(file) & names.keys() for name, file in names.items()}
    assert "chorus.topology.report" in imports["chorus.topology.analysis"]
    assert list(graphlib.TopologicalSorter(imports).static_order())  # raises CycleError, naming the circle


def test_the_language_of_topologies_loads_no_arrays() -> None:
    loaded = modules_after("from chorus.topology import parse; str(parse('random(3) | sliding_window(2)').causal())")
    assert not loaded & {"numpy", "scipy", "flint", "torch", "networkx", "numba", "matplotlib"}
    loaded = modules_after("from chorus.topology import analyze, full; str(analyze(full(), 9, 2, pair=(0, 8)))")
    assert "numpy" in loaded
    assert not loaded & {"scipy", "torch", "networkx", "numba", "matplotlib"}


@pytest.mark.parametrize("statement", ["import chorus", "import chorus.cli", "import chorus.topology"])
def test_light_imports_load_no_torch(statement: str) -> None:
    loaded = modules_after(statement)
    assert not loaded & {"torch", "networkx", "numba", "matplotlib", "transformers", "huggingface_hub"}


def test_ctrl_c_ends_the_command_without_a_traceback() -> None:
    code = (
        "import sys, types, chorus.__main__ as entry\n"
        "def interrupted(): raise KeyboardInterrupt\n"
        "sys.modules['chorus.cli'] = types.SimpleNamespace(main=interrupted)\n"
        "entry.main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (130, "")
