"""The house rules: importing touches nothing, a module imports only from below, verbs do not know each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import corolla

ROOT = Path(corolla.__file__).parent

LAYERS = (
    "types errors storage classes graph interpreter chips hlo backend interrupt reporter clock pace memory processor",
    "cache",
    "native",
    "installation largest",
    "config compiled schedule rates",
    "imbalance presets",
    "records",
    "images order photo folds",
    "hosts mesh metrics",
    "calibrate decide page chart",
    "augment losses optim models probe checkpoint",
    "topology",
    "step run",
    "ensemble open_set saliency doubts sinks",
    "naming",
    "shipped",
    "likeness",
    "resident inference network dataset share soft start",
    "origin",
    "programs",
    "trial",
    "journal judge panel console trust",
    "job",
    "loop fit",
    "sample fetch build check sheet train evaluate blend soup predict distill pseudo identify plan doctor export "
    "audit submission show report serve",
    "cross grow",
    "repeat",
    "cli",
)
"""Bottom to top; a module may import what stands in its own line or below."""

VERBS = (
    "sample",
    "fetch",
    "build",
    "check",
    "sheet",
    "train",
    "evaluate",
    "blend",
    "soup",
    "predict",
    "distill",
    "pseudo",
    "identify",
    "plan",
    "doctor",
    "export",
    "audit",
    "submission",
    "show",
    "report",
    "serve",
)
RANK = {name: rank for rank, line in enumerate(LAYERS) for name in line.split()}


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name inside it, parsed."""
    paths = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
    dotted = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths}
    return {name.removesuffix(".__init__"): ast.parse(path.read_text("utf-8")) for path, name in dotted.items()}


def imported(tree: ast.Module) -> set[str]:
    """First parts of the names of the package's own modules that a module imports, also inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "corolla":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("corolla."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("corolla.")}
    return found


TREES = modules()
IMPORTS = {name: imported(tree) for name, tree in TREES.items()}


def test_every_module_has_its_layer():
    assert {name.split(".")[0] for name in IMPORTS} == set(RANK)


@pytest.mark.parametrize("name", sorted(IMPORTS))
def test_imports_point_down(name):
    own = name.split(".")[0]
    above = {other for other in IMPORTS[name] if RANK[other] > RANK[own]}
    assert not above, f"{name} imports from layers above it: {sorted(above)}"


def test_imports_make_no_circle():
    graph: dict[str, set[str]] = {}
    for name, others in IMPORTS.items():
        own = name.split(".")[0]
        graph[own] = graph.get(own, set()) | others - {own}
    while graph:
        free = {name for name, others in graph.items() if not others & set(graph)}
        assert free, f"these import each other in a circle: {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in free}


@pytest.mark.parametrize("verb", VERBS)
def test_commands_meet_only_in_the_run_folder(verb):
    for name, others in IMPORTS.items():
        if name.split(".")[0] == verb:
            assert not others & (set(VERBS) - {verb})


def test_only_the_command_line_knows_the_command_line():
    assert [name for name, others in IMPORTS.items() if "cli" in others] == []
    assert {name for name, others in IMPORTS.items() if "console" in others} <= {"cli"}


def test_no_drawers():
    parts = {part for name in IMPORTS for part in name.split(".")}
    for word in ("util", "common", "helper", "manager", "misc"):
        assert not [part for part in parts if word in part]


@pytest.mark.parametrize("name", sorted(TREES))
def test_every_module_says_what_it_takes_and_gives(name):
    text = ast.get_docstring(TREES[name]) or ""
    assert text, f"{name} has no docstring"


def test_functions_take_the_settings_they_use_not_all_of_them():
    """Those who may have all: what stores, compares or plans the whole run."""
    whole = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and node.annotation and "TrainSettings" in ast.unparse(node.annotation)
    }
    assert whole <= {"config", "run", "train", "network", "origin", "cross", "grow", "repeat"}


def test_only_the_command_line_exits_and_prints():
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name != "cli":
                called = ast.unparse(node.func)
                assert called not in ("print", "sys.exit", "exit", "os._exit", "input"), f"{name} calls {called}"


def test_importing_the_package_touches_nothing():
    program = """
import os, sys
environment, path, before = dict(os.environ), list(sys.path), set(sys.modules)
import corolla
assert dict(os.environ) == environment and sys.path == path
own = {name for name in set(sys.modules) - before}
assert own == {"corolla"}, own
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_every_module_asks_no_device():
    """A device that is only looked at already holds memory, and takes seconds to wake."""
    names = ", ".join(f"corolla.{name}" for name in IMPORTS)
    program = f"import {names}; from jax._src import xla_bridge; assert not xla_bridge._backends"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_environment_is_left_alone():
    """Keras asks its name of a backend once, there; the command line and the workers quieten what they start.

    `models.registry` only reads where Keras keeps its weights, to name the folder in an error, and `mesh` whether
    somebody has told XLA a number of devices; `network` whether TensorFlow has a TPU by name, `cache` where the user's
    is, `hosts` whether a cluster has started several processes, `plan` whether somebody has told JAX its
    platforms, and `installation` all that `doctor` tells of them. `topology` keeps the compiler of TPUs from asking a
    network where it is, when a topology is asked for, and `schedule` asks it for what it writes. `native` reads whether
    somebody does without it.
    """
    touching = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "putenv")
    }
    readers = {
        "backend",
        "cli",
        "cache",
        "hosts",
        "mesh",
        "models.registry",
        "native",
        "network",
        "plan",
    } | {"sample.workers"}
    assert touching <= readers | {"installation", "schedule", "topology"}
