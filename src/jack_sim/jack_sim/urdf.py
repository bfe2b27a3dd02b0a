"""The URDF of a compiled model, for RViz and everything else of ROS that wants one.

URDF knows boxes, cylinders and spheres: capsules become a cylinder between two spheres, rounded meshes a box or a
cylinder of their size.
"""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator

import mujoco
import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_contract.rotation import wxyz_to_xyzw
from jack_sim.robot_model import BASE, Frame, fixed_frames, link_ids
from jack_sim.scene import BODY_GROUP, LEG_GROUP, SOLE_GROUP, VISUAL_GROUP

_GEOM = mujoco.mjtGeom
#: Rounded meshes fill this share of the box around them, to the eye [1].
_FILL = 0.9
#: A mesh longer than _LONG times its width, and not wider than _ROUND times its depth, looks like a cylinder [1].
_LONG, _ROUND = 1.4, 1.25

Shape = tuple[str, dict[str, str], Float64]


def urdf(model: mujoco.MjModel) -> str:
    """Translate a model.

    Args:
        model: with visuals and the full collision set.

    Returns:
        The text of a URDF whose links are the robot's bodies and the fixed frames (base, IMU, camera, soles).
    """
    robot = ET.Element("robot", name="jack")
    for material in range(model.nmat):
        element = ET.SubElement(robot, "material", name=model.material(material).name)
        ET.SubElement(element, "color", rgba=_numbers(model.mat_rgba[material]))
    ET.SubElement(robot, "link", name=BASE)
    bodies = link_ids(model)
    names = {model.body(body).name for body in bodies}
    for body in bodies:
        robot.append(_link(model, body))
    for frame in fixed_frames(model):
        if frame.name not in names:
            ET.SubElement(robot, "link", name=frame.name)
        robot.append(_fixed_joint(frame))
    for joint in range(model.njnt):
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE:
            robot.append(_hinge(model, joint))
    ET.indent(robot)
    return '<?xml version="1.0"?>\n<!-- Generated from jack.xml by python -m jack_sim.generate. -->\n' + (
        ET.tostring(robot, encoding="unicode") + "\n"
    )


def _link(model: mujoco.MjModel, body: int) -> ET.Element:
    link = ET.Element("link", name=model.body(body).name)
    inertial = ET.SubElement(link, "inertial")
    inertial.append(_origin(model.body_ipos[body], wxyz_to_xyzw(model.body_iquat[body])))
    ET.SubElement(inertial, "mass", value=_number(model.body_mass[body]))
    ixx, iyy, izz = (_number(value) for value in model.body_inertia[body])
    ET.SubElement(inertial, "inertia", ixx=ixx, iyy=iyy, izz=izz, ixy="0", ixz="0", iyz="0")
    for geom in range(model.body_geomadr[body], model.body_geomadr[body] + model.body_geomnum[body]):
        group = model.geom_group[geom]
        for shape in _shapes(model, geom):
            if group == VISUAL_GROUP:
                visual = _shape_element("visual", model, geom, shape)
                ET.SubElement(visual, "material", name=model.material(model.geom_matid[geom]).name)
                link.append(visual)
            elif group in (SOLE_GROUP, BODY_GROUP, LEG_GROUP):
                link.append(_shape_element("collision", model, geom, shape))
    return link


def _shape_element(tag: str, model: mujoco.MjModel, geom: int, shape: Shape) -> ET.Element:
    """One primitive; its axis is the geom's z axis unless the shape turned it."""
    kind, attributes, offset = shape
    rotation = Rotation.from_quat(wxyz_to_xyzw(model.geom_quat[geom]))
    element = ET.Element(tag)
    element.append(_origin(model.geom_pos[geom] + rotation.apply(offset), rotation.as_quat()))
    ET.SubElement(ET.SubElement(element, "geometry"), kind, attributes)
    return element


def _shapes(model: mujoco.MjModel, geom: int) -> Iterator[Shape]:
    """URDF primitives that stand for a geom, offsets in the geom's frame [m]."""
    kind, size = _GEOM(int(model.geom_type[geom])), model.geom_size[geom]
    none = np.zeros(3)
    if kind == _GEOM.mjGEOM_SPHERE:
        yield _sphere(size[0], none)
    elif kind == _GEOM.mjGEOM_ELLIPSOID:
        yield _sphere(float(np.prod(size)) ** (1 / 3), none)
    elif kind == _GEOM.mjGEOM_BOX:
        yield _box(size)
    elif kind in (_GEOM.mjGEOM_CYLINDER, _GEOM.mjGEOM_CAPSULE):
        yield _cylinder(size[0], 2 * size[1])
        if kind == _GEOM.mjGEOM_CAPSULE:
            end = np.array([0.0, 0.0, size[1]])
            yield from (_sphere(size[0], offset) for offset in (end, -end))
    elif kind == _GEOM.mjGEOM_MESH:
        yield _mesh(model.geom_aabb[geom, 3:])


def _mesh(half: Float64) -> Shape:
    depth, width = sorted(half[:2])
    if half[2] > _LONG * width and width < _ROUND * depth:
        return _cylinder(float(half[:2].mean()) * _FILL, 2 * half[2] * _FILL)
    return _box(half * _FILL)


def _sphere(radius: float, offset: Float64) -> Shape:
    return "sphere", {"radius": _number(radius)}, offset


def _cylinder(radius: float, length: float) -> Shape:
    return "cylinder", {"radius": _number(radius), "length": _number(length)}, np.zeros(3)


def _box(half: Float64) -> Shape:
    return "box", {"size": _numbers(2 * half)}, np.zeros(3)


def _hinge(model: mujoco.MjModel, joint: int) -> ET.Element:
    body = model.jnt_bodyid[joint]
    parent = model.body(model.body_parentid[body]).name
    element = _joint("revolute", model.joint(joint).name, parent, model.body(body).name)
    element.append(_origin(model.body_pos[body], wxyz_to_xyzw(model.body_quat[body])))
    ET.SubElement(element, "axis", xyz=_numbers(model.jnt_axis[joint]))
    lower, upper = (_number(value) for value in model.jnt_range[joint])
    effort = _number(model.jnt_actfrcrange[joint, 1])
    velocity = _number(model.jnt_user[joint, 0])
    ET.SubElement(element, "limit", lower=lower, upper=upper, effort=effort, velocity=velocity)
    dof = model.jnt_dofadr[joint]
    damping, friction = _number(model.dof_damping[dof]), _number(model.dof_frictionloss[dof])
    ET.SubElement(element, "dynamics", damping=damping, friction=friction)
    return element


def _fixed_joint(frame: Frame) -> ET.Element:
    element = _joint("fixed", f"{frame.name}_fixed", frame.parent, frame.name)
    element.append(_origin(frame.position, frame.orientation))
    return element


def _joint(kind: str, name: str, parent: str, child: str) -> ET.Element:
    element = ET.Element("joint", name=name, type=kind)
    ET.SubElement(element, "parent", link=parent)
    ET.SubElement(element, "child", link=child)
    return element


def _origin(position: ArrayLike, quaternion: ArrayLike) -> ET.Element:
    """URDF's rpy are angles about the fixed x, y and z axes, in this order."""
    with warnings.catch_warnings():
        # At a pitch of 90 degrees many angles are the same rotation; scipy says so and picks one.
        warnings.simplefilter("ignore", UserWarning)
        rpy = Rotation.from_quat(quaternion).as_euler("xyz")
    return ET.Element("origin", xyz=_numbers(np.asarray(position)), rpy=_numbers(rpy))


def _numbers(values: Iterable[float]) -> str:
    return " ".join(_number(value) for value in values)


def _number(value: float) -> str:
    """Ten significant decimals, no negative zero: text that does not depend on the machine's last bit."""
    return f"{round(float(value), 10) + 0.0:.10g}"
