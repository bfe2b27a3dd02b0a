import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import sample_messages as messages

from jack_operator import panel
from jack_operator.scene import Scene


def texts(scene, now=0.0):
    return {row.label: row for row in panel.rows(scene, scene.frame(now), now)}


def test_everything_that_is_known_is_said():
    scene = Scene()
    scene.on_brain(messages.brain(fault="Tilted by 1.2 rad", state=5, shadow="cd" * 32, shadow_report="ready"), 0.0)
    scene.on_driver(messages.driver(state=2, fault="No command", publishers=2), 0.0)
    scene.on_velocity(messages.twist(0.5), 0.0)
    scene.on_odometry(messages.odometry((0.0, 0.0, 0.76), velocity=(0.48, 0.01, 0.0)), 0.0)
    scene.gantry = "lowering"
    said = texts(scene)
    assert said["fault"].text == "Tilted by 1.2 rad" and said["fault"].level == "bad"
    assert said["policy"].text == "walk, step 4,000,000 (abababababab)"
    assert said["policies"].text == "2 taken over, 0 back, 1 refused"
    assert said["on trial"].text == "cdcdcdcdcdcd, 0.0 s: ready"
    assert said["latency"].text == "0.40 ms, at most 2.00 ms" and said["missed"].text == "3 of 1,000 periods"
    assert said["value"].text == "41.50" and said["driver"].level == "bad"
    assert said["commands"].text == "1,000 passed, 0 ignored, 2 refused"
    assert said["publishers"].text == "2 on joint_command" and said["driver's fault"].text == "No command"
    assert said["asked"].text == "+0.50, +0.00 m/s, +0.00 rad/s"
    assert said["measured"].text == "+0.48, +0.01 m/s, +0.00 rad/s"
    assert said["height"].text == "0.76 m, pose from odometry" and said["gantry"].text == "lets him down"
    assert panel.state(scene.brain.get(0.0)) == panel.Row("state", "damped: fault", "bad")


def test_silence_is_said_too():
    scene = Scene()
    scene.on_brain(messages.brain(), 0.0)
    assert panel.state(scene.brain.get(5.0)) == panel.Row("brain", "no word from the brain", "quiet")
    said = texts(scene, 5.0)
    assert "policy" not in said and said["asked"].text == "-" and said["joints"].text == "never heard"
    scene.on_joint_states(messages.joints(left=0.0), 1.0)
    assert texts(scene, 5.0)["joints"].text == "not heard for 4 s"
    assert "joints" not in texts(scene, 1.5)


@pytest.mark.parametrize("state", range(8))
def test_every_state_has_words_and_an_unknown_one_is_said(state):
    row = panel.state(messages.brain(state=state))
    assert row.text and row.level and (row.text.startswith("state ") == (state > 5))


def test_whatever_a_message_says_is_text_and_no_html():
    scene = Scene()
    evil = '<img src=x onerror="alert(1)">' + "x" * 1000
    scene.on_brain(messages.brain(fault=evil, phase=evil, refusal=evil, policy=evil), 0.0)
    scene.on_driver(messages.driver(fault=evil), 0.0)
    scene.gantry = evil
    shown = panel.page(panel.rows(scene, scene.frame(0.0), 0.0)) + panel.headline(panel.Row("", evil, "bad"))
    assert "<img" not in shown and "&lt;img" in shown and "x" * panel.MAX_TEXT not in shown


def test_the_words_for_states_are_those_of_the_messages():
    messages_of_jack = pytest.importorskip("jack_msgs.msg")
    brain, driver = messages_of_jack.BrainStatus, messages_of_jack.DriverStatus
    names = ("UNCONFIGURED", "HOLDING", "BLENDING", "RUNNING", "DAMPING", "FAULT")
    assert [getattr(brain, name) for name in names] == list(range(len(panel.BRAIN_STATES)))
    numbers = [getattr(driver, name) for name in ("WAITING", "DRIVING", "DAMPING")]
    assert numbers == list(range(len(panel.DRIVER_STATES)))
    scene = Scene()
    scene.on_brain(brain(state=3, policy="ab", value=float("nan")), 0.0)
    scene.on_driver(driver(state=1), 0.0)
    assert {"policy", "value", "missed", "driver"} <= set(texts(scene))


def test_a_velocity_in_words():
    assert panel.velocity(np.array([0.5, -0.25, 0.0])) == "+0.50, -0.25 m/s, +0.00 rad/s"
