"""ARCHITECTURE.md shows the call table as it is."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_the_diagram_is_the_table() -> None:
    script = ROOT / "scripts" / "call_diagram.py"
    shown = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stdout
