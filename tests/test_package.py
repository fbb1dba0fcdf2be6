"""The package as a whole: light imports and one-way import directions."""

import ast
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


@pytest.mark.parametrize("statement", ["import chorus", "import chorus.cli", "import chorus.topology"])
def test_light_imports_load_no_torch(statement: str) -> None:
    loaded = modules_after(statement)
    assert not loaded & {"torch", "networkx", "numba", "matplotlib", "transformers", "huggingface_hub"}
