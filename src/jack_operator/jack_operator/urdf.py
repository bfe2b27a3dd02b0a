"""A URDF as it is drawn: links, the boxes, cylinders and spheres on them, and the joints between them.

It comes from a topic, so from anybody: it is bounded before it is believed. Meshes are left out, they are files on
another machine.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

from scipy.spatial.transform import Rotation

from jack_contract.errors import MessageError

#: The longest text that is read [characters], the most joints and shapes [1], the largest figure of any kind [m].
MAX_TEXT, MAX_JOINTS, MAX_SHAPES, MAX_SIZE = 2_000_000, 300, 3000, 100.0
#: The parts of a size by kind of shape.
_SIZES = {"box": ("size",), "cylinder": ("radius", "length"), "sphere": ("radius",)}
_COUNTS = {"box": 3, "cylinder": 2, "sphere": 1}
_GREY = (0.7, 0.7, 0.7)

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Shape:
    """A primitive on a link."""

    #: box, cylinder (its axis is z) or sphere
    kind: str
    #: box: edges x, y, z; cylinder: radius, length; sphere: radius [m]
    size: Vector
    #: in the link, (3,) [m]
    position: Vector
    #: in the link, unit quaternion x y z w
    orientation: Vector
    #: red, green, blue, 0 to 1 [1]
    colour: Vector


@dataclass(frozen=True)
class Joint:
    """What holds a link to its parent."""

    name: str
    parent: str
    child: str
    #: of the child in the parent where the joint's angle is zero, (3,) [m]
    position: Vector
    #: likewise, unit quaternion x y z w
    orientation: Vector
    #: unit vector that it turns about, in the child; None: it is fixed
    axis: Vector | None


@dataclass(frozen=True)
class Description:
    """A robot as it is drawn."""

    root: str
    #: parents first
    joints: tuple[Joint, ...]
    shapes: dict[str, tuple[Shape, ...]]

    @property
    def links(self) -> list[str]:
        """Every link, parents first."""
        return [self.root, *(joint.child for joint in self.joints)]


def parse(text: str) -> Description:
    """Read a URDF.

    Raises:
        MessageError: it is none, or one that cannot be drawn: too large, torn apart, with joints that slide.
    """
    if len(text) > MAX_TEXT:
        raise MessageError(f"The robot description has {len(text):,} characters; allowed: {MAX_TEXT:,}.")
    if "<!DOCTYPE" in text:
        raise MessageError("The robot description has a DOCTYPE; a URDF needs none, and entities are not read.")
    try:
        robot = ET.fromstring(text)  # noqa: S314 - without a DOCTYPE there are no entities to expand
        return _read(robot)
    except (ET.ParseError, KeyError, ValueError) as error:
        raise MessageError(f"The robot description is no URDF: {type(error).__name__}: {error}.") from error


def _read(robot: ET.Element) -> Description:
    if robot.tag != "robot":
        raise MessageError(f"The robot description begins with <{robot.tag}>; expected <robot>.")
    colours = {m.attrib["name"]: _colour(m) for m in robot.findall("material")}
    links = {link.attrib["name"]: link for link in robot.findall("link")}
    joints = [_joint(element) for element in robot.findall("joint")]
    visuals = sum(len(link.findall("visual")) for link in links.values())
    if len(joints) > MAX_JOINTS or visuals > MAX_SHAPES:
        raise MessageError(
            f"The robot description has {len(joints)} joints and {visuals} shapes; "
            f"allowed: {MAX_JOINTS} and {MAX_SHAPES}."
        )
    root, ordered = _tree(set(links), joints)
    return Description(root, ordered, {name: tuple(_shapes(link, colours)) for name, link in links.items()})


def _tree(links: set[str], joints: list[Joint]) -> tuple[str, tuple[Joint, ...]]:
    """The root, and the joints with parents first; a MessageError unless they make one tree of all links."""
    held = [joint.child for joint in joints]
    roots = sorted(links - set(held))
    unknown = ({joint.parent for joint in joints} | set(held)) - links
    if unknown or len(roots) != 1 or len(set(held)) != len(held):
        raise MessageError(
            f"The links are no tree: roots {', '.join(roots[:5]) or 'none'}, "
            f"links that are not there {', '.join(sorted(unknown)[:5]) or 'none'}."
        )
    children: dict[str, list[Joint]] = {}
    for joint in joints:
        children.setdefault(joint.parent, []).append(joint)
    ordered = list(children.get(roots[0], []))
    for joint in ordered:
        ordered += children.get(joint.child, [])
    if len(ordered) != len(joints):
        raise MessageError("The links are no tree: some of them hold each other in a circle.")
    return roots[0], tuple(ordered)


def _joint(element: ET.Element) -> Joint:
    kind, name = element.attrib["type"], element.attrib["name"]
    parent, child = (_child(element, tag).attrib["link"] for tag in ("parent", "child"))
    if kind not in ("fixed", "revolute", "continuous"):
        raise MessageError(f"The joint '{name}' is {kind}; allowed: fixed, revolute, continuous.")
    axis = None
    if kind != "fixed":
        given = element.find("axis")
        axis = _vector(given.attrib["xyz"], 3) if given is not None else (1.0, 0.0, 0.0)
        length = math.hypot(*axis)
        if length < 1e-6:
            raise MessageError(f"The joint '{name}' turns about no axis.")
        axis = tuple(value / length for value in axis)
    return Joint(name, parent, child, *_origin(element), axis)


def _shapes(link: ET.Element, colours: dict[str, Vector]) -> Iterator[Shape]:
    for visual in link.findall("visual"):
        for element in _child(visual, "geometry"):
            if element.tag not in _SIZES:
                continue
            text = " ".join(element.attrib[name] for name in _SIZES[element.tag])
            size = _vector(text, _COUNTS[element.tag])
            if min(size) <= 0.0:
                raise MessageError(f"A {element.tag} of the link '{link.attrib['name']}' has the size {text}.")
            yield Shape(element.tag, size, *_origin(visual), _material(visual, colours))


def _material(visual: ET.Element, colours: dict[str, Vector]) -> Vector:
    material = visual.find("material")
    if material is None:
        return _GREY
    own = material.find("color")
    return _colour(material) if own is not None else colours.get(material.get("name", ""), _GREY)


def _colour(material: ET.Element) -> Vector:
    element = material.find("color")
    if element is None:
        return _GREY
    return tuple(min(max(value, 0.0), 1.0) for value in _vector(element.attrib["rgba"], 4)[:3])


def _origin(element: ET.Element) -> tuple[Vector, Vector]:
    origin = element.find("origin")
    given = origin.attrib if origin is not None else {}
    position = _vector(given.get("xyz", "0 0 0"), 3)
    turn = Rotation.from_euler("xyz", _vector(given.get("rpy", "0 0 0"), 3))
    return position, tuple(turn.as_quat().tolist())


def _child(element: ET.Element, tag: str) -> ET.Element:
    found = element.find(tag)
    if found is None:
        raise MessageError(f"A <{element.tag}> of the robot description has no <{tag}>.")
    return found


def _vector(text: str, count: int) -> Vector:
    values = tuple(float(word) for word in text.split())
    if len(values) != count or not all(math.isfinite(value) and abs(value) <= MAX_SIZE for value in values):
        raise MessageError(
            f"The robot description says '{text[:80]}' where {count} numbers up to {MAX_SIZE:g} are expected."
        )
    return values
