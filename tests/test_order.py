"""What takes longest begins first in `make test`: else one lane ends while the other has minutes left."""

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import LONGEST, ROOT, turn


def test_what_takes_longest_is_there_and_has_its_turn_before_the_rest() -> None:
    assert [turn(ROOT / name) for name in LONGEST] == list(range(len(LONGEST)))
    assert [name for name in LONGEST if not (ROOT / name).exists()] == []
    assert turn(ROOT / "e2e" / "test_kill.py") < turn(ROOT / "e2e" / "test_faults.py") < turn(ROOT / "test_units.py")


def test_both_lanes_keep_that_order(tmp_path: Path) -> None:
    """With the options of the Makefile the first file begins first, though the second has more tests."""
    makefile = (ROOT.parent / "Makefile").read_text()
    options = {found.strip() for found in re.findall(r"-n 2 (--dist [^$]*?)(?=tests|-m)", makefile)}
    assert len(options) == 1, options
    (tmp_path / "test_a.py").write_text("def test_long(): pass\n")
    (tmp_path / "test_b.py").write_text("def test_1(): pass\ndef test_2(): pass\n")
    run = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-n", "1", *options.pop().split()]
    said = subprocess.run([*run, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=100).stdout
    assert re.findall(r"PASSED (\S+)", said)[0] == "test_a.py::test_long", said
