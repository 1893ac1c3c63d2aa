"""The compiled hot path: it is what the tests and the workers run, and never something older than the sources."""

import ast
import os
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from avisiod import compiled

ROOT = Path(__file__).resolve().parent.parent
SHOWN = (
    "import avisiod.gateway.relay as relay; from avisiod import compiled;"
    "print(relay.KEPT_PACKETS, relay.__file__, compiled.form(), sep='|')"
)
HOT_TESTS = ("depacketizer", "leg_side", "losses", "matroska", "reception", "relay", "retransmission", "rtp")

as_shipped = pytest.mark.skipif(os.environ.get("AVISIOD_COMPILED") == "off", reason="asked to run the sources")


@as_shipped
@pytest.mark.parametrize("module", compiled.MODULES)
def test_these_tests_run_the_compiled_form_of_the_sources_as_they_are(module):
    assert compiled.form() == f"compiled ({compiled.digest()})", "scripts/setup compiles what was edited"
    file = Path(import_module(module).__file__)
    assert file.name.endswith(EXTENSION_SUFFIXES[0])
    assert file.is_relative_to(compiled.folder() / compiled.digest())


def imports(module: str) -> set[str]:
    """The modules of ours that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(compiled.source(module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "avisiod":
            names = {f"{node.module}.{each.name}" for each in node.names}
            found |= {node.module} | {each for each in names if compiled.source(each).exists()}
    return found


def test_a_change_of_whatever_they_import_has_them_compiled_again():
    seen = set().union(*map(imports, compiled.MODULES))
    assert seen - set(compiled.MODULES) - {"avisiod.compiled"} <= set(compiled.SEEN), "add it to SEEN"


@pytest.fixture
def copy(tmp_path) -> Path:
    """A tree with the package and its compiled form."""
    shutil.copytree(ROOT / "avisiod", tmp_path / "avisiod", ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(compiled.folder() / compiled.digest(), tmp_path / "build" / "compiled" / compiled.digest())
    return tmp_path


def shown(tree: Path, **environment: str) -> tuple[int, str, str]:
    """What a process there finds: a constant of the relay, its file, and the form that it says it runs."""
    env = {name: value for name, value in os.environ.items() if name != "AVISIOD_COMPILED"}
    done = subprocess.run(
        [sys.executable, "-c", SHOWN],
        cwd=tree,
        env=env | {"PYTHONPATH": str(tree)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    constant, file, form = done.stdout.strip().split("|")
    return int(constant), file, form


@as_shipped
def test_an_edited_source_is_never_hidden_by_its_compiled_form(copy):
    assert shown(copy)[0] == 256
    assert shown(copy)[2].startswith("compiled (")
    relay = copy / "avisiod" / "gateway" / "relay.py"
    relay.write_text(relay.read_text().replace("KEPT_PACKETS = 256", "KEPT_PACKETS = 128"))
    constant, file, form = shown(copy)
    assert (constant, file) == (128, str(relay))
    assert form.startswith("plain: these sources are not compiled")


@as_shipped
def test_a_change_next_door_counts_as_well(copy):
    with (copy / "avisiod" / "gateway" / "leg.py").open("a") as leg:
        leg.write("\n")
    assert shown(copy)[2].startswith("plain: ")


@as_shipped
def test_a_library_that_cannot_be_loaded_leaves_the_sources(copy):
    (library,) = (copy / "build").rglob("*" + compiled.LIBRARY_SUFFIX + "*")
    library.write_bytes(b"no library")
    constant, file, form = shown(copy)
    assert (constant, file) == (256, str(copy / "avisiod" / "gateway" / "relay.py"))
    assert form.startswith("plain: the compiled form cannot be loaded")


@as_shipped
def test_what_is_installed_has_its_compiled_form_in_the_package(copy):
    (copy / "pyproject.toml").unlink()
    assert shown(copy)[2].startswith("plain: ")
    shutil.move(copy / "build" / "compiled", copy / "avisiod" / "_compiled")
    assert shown(copy)[2].startswith("compiled (")


def test_it_can_be_left_aside(copy):
    assert shown(copy, AVISIOD_COMPILED="off")[2] == "plain: AVISIOD_COMPILED=off"


def test_the_sources_alone_pass_the_same_tests():
    files = [f"tests/gateway/test_{each}.py" for each in HOT_TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env={**os.environ, "AVISIOD_COMPILED": "off"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
