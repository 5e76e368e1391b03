"""Who may import whom: the contracts of pyproject.toml, and where single libraries may appear."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("components", "pipelines", "labeling", "apps")
ONLY_IN = {
    "kfp": lambda path: path.name == "component.py" or path.parts[0] == "pipelines",
    "gradio": lambda path: path.parts[0] == "apps",
    "label_studio_sdk": lambda path: path.parts[0] == "labeling",
    "pickle": lambda path: False,
}


def imports(path: Path) -> set[str]:
    """Returns the first names of all modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_the_contracts_are_kept() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        [*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_place(library: str) -> None:
    files = [path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    outside = [
        str(path)
        for path in files
        if not ONLY_IN[library](path) and library in imports(ROOT / path)
    ]
    assert outside == []
