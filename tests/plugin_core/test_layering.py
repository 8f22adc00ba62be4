"""Who may import whom: plugin_core knows no files and no RELION, and the command line is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import plugin_core
from relion_external.cli import command_names

SOURCES = sorted(Path(plugin_core.__path__[0]).rglob("*.py"))
FILES_AND_PROCESSES = {
    "relion_external", "mrcfile", "starfile", "pandas", "matplotlib", "subprocess", "argparse",
}  # fmt: skip
HEAVY = {
    "plugin_core", "numpy", "scipy", "pandas", "mrcfile", "starfile", "matplotlib", "cupy", "torch",
}  # fmt: skip


def imported_packages(source: Path) -> set[str]:
    """Top-level names of all imports in a file, those inside functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def modules_after(code: str) -> set[str]:
    """Top-level names of what a fresh interpreter has imported after running `code`."""
    report = "import sys; print('\\n' + ' '.join({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_plugin_core_knows_no_files_and_no_relion():
    assert SOURCES
    found = {source.name: imported_packages(source) & FILES_AND_PROCESSES for source in SOURCES}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize("module", ["relion_external", "relion_external.cli"])
def test_importing_the_command_line_imports_nothing_heavy(module):
    assert modules_after(f"import {module}") & HEAVY == set()


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in command_names())])
def test_help_imports_nothing_heavy(argv):
    code = f"""
from relion_external.cli import main
try:
    main({argv!r})
except SystemExit as end:
    assert end.code == 0
"""
    assert modules_after(code) & HEAVY == set()
