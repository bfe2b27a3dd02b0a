import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_contract.errors import MessageError
from jack_contract.robot import load_robot
from jack_operator.urdf import MAX_JOINTS, MAX_TEXT, parse

JACK = (Path(__file__).parents[2] / "jack_sim/jack_sim/models/jack.urdf").read_text()
SMALL = """<robot name="small">
  <material name="red"><color rgba="1 0.5 0 1"/></material>
  <link name="body"><visual><origin xyz="0 0 0.1" rpy="0 0 1.5707963267948966"/>
    <geometry><box size="0.1 0.2 0.3"/></geometry><material name="red"/></visual></link>
  <link name="arm"><visual><geometry><cylinder radius="0.02" length="0.4"/></geometry></visual>
    <visual><geometry><mesh filename="file:///etc/passwd"/></geometry></visual></link>
  <link name="hand"><visual><geometry><sphere radius="0.05"/></geometry>
    <material name="own"><color rgba="0 0 1 1"/></material></visual></link>
  <joint name="wrist" type="fixed"><parent link="arm"/><child link="hand"/><origin xyz="0 0 0.2"/></joint>
  <joint name="shoulder" type="revolute"><parent link="body"/><child link="arm"/><axis xyz="0 2 0"/></joint>
</robot>"""


def test_a_small_robot_is_read_as_it_is_written():
    found = parse(SMALL)
    assert found.root == "body" and found.links == ["body", "arm", "hand"]
    shoulder, wrist = found.joints
    assert (shoulder.name, shoulder.axis, wrist.axis) == ("shoulder", (0.0, 1.0, 0.0), None)
    assert wrist.position == (0.0, 0.0, 0.2) and wrist.orientation == (0.0, 0.0, 0.0, 1.0)
    (box,) = found.shapes["body"]
    assert (box.kind, box.size, box.position, box.colour) == (
        "box",
        (0.1, 0.2, 0.3),
        (0.0, 0.0, 0.1),
        (1.0, 0.5, 0.0),
    )
    assert box.orientation == pytest.approx((0.0, 0.0, 0.5**0.5, 0.5**0.5))
    (cylinder,) = found.shapes["arm"]  # files are left out
    assert (cylinder.kind, cylinder.size) == ("cylinder", (0.02, 0.4))
    assert found.shapes["hand"][0].colour == (0.0, 0.0, 1.0)


def test_jack_has_his_joints_and_shapes():
    found = parse(JACK)
    turning = {joint.name for joint in found.joints if joint.axis is not None}
    assert turning == set(load_robot().joint_names) and found.root == "base_link"
    assert sum(map(len, found.shapes.values())) == JACK.count("<visual>") > 30
    assert {"left_foot_frame", "right_foot_frame", "head"} <= set(found.links)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("<robot name", "<!DOCTYPE r [<!ENTITY a 'aaaa'>]><robot name", "DOCTYPE"),
        ("</robot>", "", "no URDF: ParseError"),
        ("robot", "machine", "begins with <machine>"),
        ('"0 2 0"', '"0 0 0"', "turns about no axis"),
        ('type="revolute"', 'type="prismatic"', "is prismatic; allowed: fixed, revolute, continuous"),
        ('size="0.1 0.2 0.3"', 'size="0.1 0.2"', "3 numbers"),
        ('size="0.1 0.2 0.3"', 'size="0.1 nan 0.3"', "3 numbers"),
        ('size="0.1 0.2 0.3"', 'size="0.1 1e9 0.3"', "3 numbers"),
        ('size="0.1 0.2 0.3"', 'size="0.1 -0.2 0.3"', "has the size"),
        ('radius="0.05"', 'radius="x"', "no URDF: ValueError"),
        ('radius="0.05"', "", "no URDF: KeyError"),
        ('<parent link="arm"/>', "", "has no <parent>"),
        ('<child link="hand"/>', '<child link="arm"/>', "no tree"),
        ('<parent link="arm"/>', '<parent link="leg"/>', "not there leg"),
        ('<parent link="body"/>', '<parent link="hand"/>', "no tree"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(before, after, said):
    assert before in SMALL
    with pytest.raises(MessageError, match=said):
        parse(SMALL.replace(before, after))


def test_what_is_too_large_is_refused():
    with pytest.raises(MessageError, match="characters; allowed"):
        parse(SMALL + " " * MAX_TEXT)
    joints = "".join(
        f'<link name="l{i}"/><joint name="j{i}" type="fixed"><parent link="body"/><child link="l{i}"/></joint>'
        for i in range(MAX_JOINTS)
    )
    with pytest.raises(MessageError, match=f"allowed: {MAX_JOINTS}"):
        parse(SMALL.replace("</robot>", joints + "</robot>"))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text):
    with pytest.raises(MessageError):
        parse(text)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(SMALL) - 1), st.characters())
def test_no_damage_does_more_than_be_refused(place, character):
    with contextlib.suppress(MessageError):
        parse(SMALL[:place] + character + SMALL[place + 1 :])
