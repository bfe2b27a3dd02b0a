"""RViz's and Foxglove's layouts against the graph: a node of ours publishes every topic, with that type."""

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

PACKAGE = Path(__file__).parents[1]
RVIZ = yaml.safe_load((PACKAGE / "rviz/jack.rviz").read_text())
FOXGLOVE = json.loads((PACKAGE / "foxglove/jack.json").read_text())
#: What rviz_default_plugins has of displays, and the message that each shows.
DISPLAYS = {
    "Axes": "",
    "Camera": "Image",
    "Grid": "",
    "Image": "Image",
    "LaserScan": "LaserScan",
    "Map": "OccupancyGrid",
    "Marker": "Marker",
    "MarkerArray": "MarkerArray",
    "Odometry": "Odometry",
    "Path": "Path",
    "PointCloud2": "PointCloud2",
    "Pose": "PoseStamped",
    "PoseArray": "PoseArray",
    "Range": "Range",
    "RobotModel": "String",
    "TF": "",
}
OTHERS = {
    "rviz_common/Displays",
    "rviz_common/Views",
    "rviz_default_plugins/Interact",
    "rviz_default_plugins/MoveCamera",
    "rviz_default_plugins/FocusCamera",
    "rviz_default_plugins/Measure",
    "rviz_default_plugins/Orbit",
}
PANELS = {"3D", "Image", "Plot", "StateTransitions", "RawMessages", "DiagnosticSummary"}
LATCHED = {"robot_description"}


def published() -> dict[str, str]:
    """Every topic that a node of ours publishes, and the name of its message."""
    found = {}
    for path in PACKAGE.parents[0].glob("jack_*/jack_*/*_node.py"):
        imported = {}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("_publisher") and len(node.args) > 1:
                kind, topic = node.args[:2]
                if isinstance(topic, ast.Constant) and isinstance(kind, ast.Name):
                    name = str(topic.value).replace("~", path.stem.removesuffix("_node")).lstrip("/")
                    found[name] = ".".join(imported.get(kind.id, ("", kind.id)))
    return found


TOPICS = published()


def test_the_graph_is_seen():
    assert TOPICS["joint_states"] == "sensor_msgs.msg.JointState"
    assert TOPICS["joint_command"] == "jack_msgs.msg.JointCommand"
    assert TOPICS["markers"] == "visualization_msgs.msg.MarkerArray"
    assert TOPICS["sim/gantry"] == "std_msgs.msg.String" and TOPICS["camera/image_raw"] == "sensor_msgs.msg.Image"


# -- RViz


def displays():
    return RVIZ["Visualization Manager"]["Displays"]


def named(display):
    return display.get("Topic") or display.get("Description Topic")


@pytest.mark.parametrize("display", displays(), ids=lambda display: display["Name"])
def test_every_display_is_one_of_rvizs_and_shows_a_topic_of_ours(display):
    package, name = display["Class"].split("/")
    assert package == "rviz_default_plugins" and name in DISPLAYS
    topic = named(display)
    assert bool(topic) == bool(DISPLAYS[name])
    if topic:
        assert not topic["Value"].startswith("/")  # a namespace has to reach it
        assert TOPICS[topic["Value"]].endswith(f".{DISPLAYS[name]}")
        assert (topic["Durability Policy"] == "Transient Local") == (topic["Value"] in LATCHED)
        sensor = topic["Value"].startswith(("camera/", "odom"))
        assert topic["Reliability Policy"] == ("Best Effort" if sensor else "Reliable")


def test_every_other_class_is_one_of_rvizs_and_frames_are_ours():
    manager = RVIZ["Visualization Manager"]
    given = [panel["Class"] for panel in RVIZ["Panels"]] + [tool["Class"] for tool in manager["Tools"]]
    assert {*given, manager["Views"]["Current"]["Class"]} <= OTHERS
    urdf = (PACKAGE.parent / "jack_sim/jack_sim/models/jack.urdf").read_text()
    assert f'<link name="{manager["Views"]["Current"]["Target Frame"]}"' in urdf
    assert manager["Global Options"]["Fixed Frame"] == "odom"


def test_robot_markers_and_camera_are_shown():
    shown = {display["Class"].split("/")[1] for display in displays() if display["Enabled"]}
    assert {"RobotModel", "MarkerArray", "Image"} <= shown


# -- Foxglove


def leaves(layout):
    if isinstance(layout, str):
        return [layout]
    assert layout["direction"] in ("row", "column")
    return leaves(layout["first"]) + leaves(layout["second"])


def strings(tree):
    if isinstance(tree, dict):
        return [text for key, value in tree.items() for text in [key, *strings(value)]]
    if isinstance(tree, list):
        return [text for value in tree for text in strings(value)]
    return [tree] if isinstance(tree, str) else []


def paths():
    return [text for text in strings(FOXGLOVE["configById"]) if text.startswith("/")]


def test_panels_are_foxgloves_and_each_has_its_place():
    assert sorted(leaves(FOXGLOVE["layout"])) == sorted(FOXGLOVE["configById"])
    assert {name.split("!")[0] for name in FOXGLOVE["configById"]} <= PANELS
    assert len(paths()) > 12


@pytest.mark.parametrize("path", paths())
def test_every_path_leads_to_a_number_of_a_topic_of_ours(path):
    topic, _, fields = path[1:].partition(".")
    assert topic in TOPICS
    if not fields:
        return
    module, name = TOPICS[topic].rsplit(".", 1)
    kind = getattr(pytest.importorskip(module), name)
    for field in fields.split("."):
        word, index = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", field).groups()
        text = kind.get_fields_and_field_types()[word]
        assert text.startswith("sequence<") == (index is not None)
        if "/" in text:
            package, inner = text.removeprefix("sequence<").rstrip(">").split("/")
            kind = getattr(import_module(f"{package}.msg"), inner)
    assert "/" not in text


def test_the_joint_that_is_plotted_is_the_one_that_is_named():
    from jack_contract.robot import load_robot

    plot = FOXGLOVE["configById"]["Plot!joints"]
    number = int(re.search(r"\[(\d+)\]", plot["paths"][0]["value"])[1])
    assert load_robot().joint_names[number].replace("_", " ") == plot["title"].split(":")[0].lower()
