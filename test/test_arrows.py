"""Who may import whom. The arrows are the architecture; this walks every import and fails on any other."""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Package folder -> the packages of ours that it may import.
ARROWS = {
    "src/jack_contract": set(),
    "launch": set(),
    "src/jack_sim": {"jack_contract"},
    "src/jack_brain": {"jack_contract"},
    "src/jack_operator": {"jack_contract"},
    "src/jack_trainer": {"jack_contract", "jack_launch", "jack_sim", "jack_brain"},
}
OURS = {"jack_contract", "jack_launch", "jack_sim", "jack_brain", "jack_operator", "jack_trainer"}
#: What only a node may know.
ROS = {"rclpy", "jack_msgs"}
#: What the robot does without.
HEAVY = {"torch", "mujoco", "onnx", "viser", "jack_sim", "jack_operator", "jack_trainer", "jack_brain.network"}


@dataclass(frozen=True)
class Import:
    """One module that another one names."""

    module: str
    line: int
    #: whether it is imported as soon as the file is
    at_once: bool


def package_of(folder: str) -> Path:
    """The folder with the Python files of a package."""
    path = ROOT / folder
    return path / ("jack_launch" if folder == "launch" else path.name)


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for folder in ARROWS:
        package = package_of(folder)
        for path in package.rglob("*.py"):
            parts = path.relative_to(package.parent).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, except those that only a type checker sees."""
    yield from _visit(ast.parse(path.read_text()).body, at_once=True)


def _visit(nodes: list[ast.stmt], at_once: bool) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"line {node.lineno}: write imports out in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield Import(whole if whole in MODULES else node.module, node.lineno, at_once)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _visit(node.orelse, at_once)
        else:
            inner = at_once and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for field in ("body", "orelse", "finalbody"):
                yield from _visit(getattr(node, field, []), inner)
            for handler in getattr(node, "handlers", []):
                yield from _visit(handler.body, inner)


def within(module: str, names: set[str]) -> bool:
    """Whether a module is one of the named ones or lies in one of them."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("folder", ARROWS)
def test_packages_import_only_along_the_arrows(folder):
    package = package_of(folder)
    allowed = ARROWS[folder] | {package.name}
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for path in package.rglob("*.py")
        for found in imports(path)
        if within(found.module, OURS) and not within(found.module, allowed)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_nodes_know_ros():
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for path in MODULES.values()
        if not path.stem.endswith("_node")
        for found in imports(path)
        if within(found.module, ROS)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_contract_needs_numpy_and_yaml_and_nothing_else():
    known = set(sys.stdlib_module_names) | {"numpy", "yaml", "jack_contract"}
    outside = {found.module for path in package_of("src/jack_contract").rglob("*.py") for found in imports(path)}
    # A test helper may use the tools of tests.
    helpers = {f.module for f in imports(package_of("src/jack_contract") / "testing.py")}
    assert {module.split(".")[0] for module in outside - helpers} <= known


def test_the_description_of_the_graphs_can_be_read_anywhere():
    for name in ("description", "graphs"):
        found = {entry.module.split(".")[0] for entry in imports(package_of("launch") / f"{name}.py")}
        assert found <= set(sys.stdlib_module_names) | {"jack_launch"}


def test_nothing_heavy_is_on_the_robots_way():
    way: dict[str, str] = dict.fromkeys(("jack_brain.brain_node", "jack_brain.driver_node"), "the node")
    queue = list(way)
    for module in queue:
        for found in imports(MODULES[module]):
            assert not within(found.module, HEAVY), f"{module}, from {way[module]}, imports {found.module}"
            for name in (found.module, found.module.rpartition(".")[0]):  # a module, and the package it lies in
                if name in MODULES and name not in way:
                    way[name] = module
                    queue.append(name)
    assert {"jack_brain.pilot", "jack_brain.policy", "jack_contract.wire"} <= set(way)


def test_no_import_runs_in_a_circle():
    graph = {
        module: {found.module for found in imports(path) if found.at_once and found.module in MODULES} - {module}
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("folder", ARROWS)
def test_package_xml_names_what_is_imported(folder):
    manifest = ET.parse(ROOT / folder / "package.xml").getroot()
    named = {element.text for tag in ("depend", "exec_depend") for element in manifest.iter(tag)}
    package = package_of(folder)
    files = [*package.rglob("*.py"), *(ROOT / folder / "launch").glob("*.launch.py")]
    used = {found.module.split(".")[0] for path in files for found in imports(path)}
    ours = {module for module in used if module in OURS | {"jack_msgs"}} - {package.name}
    ros = {module for module in used if module in {"rclpy", "launch", "launch_ros"} or module.endswith("_msgs")}
    standard = {"builtin_interfaces", "rcl_interfaces", "std_srvs"} & used
    assert ours | ros | standard <= named


def test_the_walk_sees_what_it_should(tmp_path):
    path = tmp_path / "sample.py"
    path.write_text(
        "import a.b\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hidden\n"
        "try:\n    import c\nexcept ImportError:\n    import d\n"
        "class K:\n    import e\n    def f(self):\n        with x:\n            import g\n"
        "async def h():\n    import i\n"
    )
    found = list(imports(path))
    assert {entry.module for entry in found} == {"a.b", "typing", "c", "d", "e", "g", "i"}
    assert {entry.module for entry in found if not entry.at_once} == {"g", "i"}
