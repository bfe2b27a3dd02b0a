"""The expert of the live graph: by hand, and as a process between a simulation and a recorder, over real DDS."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_launch.graphs import pretrained_policy
from jack_sim.layout import Layout, Thing
from jack_sim.physics import World
from jack_sim.scene import SceneOptions
from jack_sim.tabletop import TABLETOP
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.facts import Mark, complaints, read_facts
from jack_trainer.tasks.instructions import Goal, Skill
from jack_trainer.tasks.live_expert import LiveExpert, meaning

CONTRACT = default_contract()
LAYOUT = Layout((Thing("red", "cube", (0.24, 0.12)), Thing("blue", "ball", (0.24, -0.12))))
POLICY = pretrained_policy()

needs_policy = pytest.mark.skipif(POLICY is None, reason="no policy ships with this copy of Jack")


@pytest.mark.parametrize(
    ("sentence", "goal"),
    [
        ("touch the red cube", Goal(Skill.TOUCH, "red", "cube")),
        ("Please, TAP the violet block!", Goal(Skill.TOUCH, "purple", "cube")),
        ("walk to the table", Goal(Skill.WALK)),
        ("touch the pink cube", None),
        ("", None),
        ("touch the red cube " * 10_000, None),
    ],
)
def test_sentences_mean_what_the_grammar_says(sentence, goal):
    assert meaning(sentence) == goal


@needs_policy
def test_he_does_what_he_is_told_in_a_world_of_somebody_else():
    """The live world of the simulation, whose truth he is shown, and no batch."""
    world, expert = World(SceneOptions(TABLETOP, visuals=False)), LiveExpert(CONTRACT, POLICY)
    world.lay(LAYOUT)
    cube = LAYOUT.slot("red cube")

    def advance(periods):
        for _ in range(periods):
            seen = world.odometry()
            expert.show(world.describe_table())
            expert.place(seen.position, seen.orientation)
            world.command(expert.tick(world.state()))
            world.step()
            if expert.succeeded:
                return True
        return False

    assert not advance(25)  # he stands
    assert expert.tell("push the red cube to the right") == "push right red cube: he does it"
    before = world.data.qpos[world.table.addresses[cube] + 1]
    assert advance(300) and not world.fallen
    assert world.data.qpos[world.table.addresses[cube] + 1] - before < -0.05
    assert expert.tell("wave at me") == "wave: he does it"
    assert not expert.succeeded and advance(300)


@needs_policy
def test_he_says_why_he_does_not():
    expert = LiveExpert(CONTRACT, POLICY)
    assert "is no sentence of the grammar" in expert.tell("make me a coffee")
    assert "There is no red cube; there are: no things at all" in expert.tell("touch the red cube")
    assert expert.goal is None and not expert.succeeded
    for text in ("", "{}", "[]", '{"height": 0.78, "things": [{}]}', " " * 20_000):
        with pytest.raises(JackError, match="description"):
            expert.show(text)
    world = World(SceneOptions(TABLETOP, visuals=False))
    world.lay(Layout((Thing("red", "cube", (0.24, 0.10)), Thing("blue", "ball", (0.24, 0.20)))))
    expert.show(world.describe_table())
    assert "there is no room for it" in expert.tell("push the red cube to the left")


# -- the graph


def start(domain, module, *parameters):
    words = [word for parameter in parameters for word in ("-p", parameter)]
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    command = [sys.executable, "-m", module, "--ros-args", *words]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


class Teacher:
    """Somebody who asks for an episode and says what is to be done."""

    def __init__(self, domain):
        import rclpy
        from jack_msgs.action import Record
        from jack_msgs.msg import RecorderStatus
        from rclpy.action import ActionClient
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
        from std_msgs.msg import String

        latched = QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
        )
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("teacher", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._goal, self._text = Record.Goal, String
        self.record = ActionClient(self.node, Record, "record")
        self._say = self.node.create_publisher(String, "instruction", latched)
        self.heard = []
        self.node.create_subscription(String, "expert/status", lambda m: self.heard.append(m.data), latched)
        self.recorded = set()
        self.node.create_subscription(RecorderStatus, "recorder/status", self._on_recorder, 10)

    def _on_recorder(self, status):
        self.recorded = {name for name, count in zip(status.topic, status.recorded, strict=True) if count}

    def until(self, condition, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s; heard: {self.heard}"
            self._executor.spin_once(timeout_sec=0.05)
        return value

    def answer(self, future):
        self.until(future.done)
        return future.result()

    def begin(self, sentence):
        goal = self.answer(self.record.send_goal_async(self._goal(name="lesson", instruction=sentence)))
        assert goal.accepted
        # What is said before the recorder hears everybody is in no bag, and a quick deed is over by then.
        self.until(lambda: self.recorded >= {"/joint_states", "/imu/data", "/odom", "/joint_command"})
        self._say.publish(self._text(data=sentence))
        return goal

    def close(self):
        self.node.destroy_node()
        self.context.try_shutdown()


@needs_policy
@pytest.mark.ros
@pytest.mark.slow
def test_a_demonstration_in_the_live_graph_is_a_bag_that_can_be_learnt_from(ros_domain, tmp_path):
    pytest.importorskip("jack_msgs", reason="needs ROS 2 and Jack's messages: ./jack test has them")
    world, expert = World(SceneOptions(TABLETOP, visuals=False)), LiveExpert(CONTRACT, POLICY)
    world.reset(3)
    expert.show(world.describe_table())
    asked = [f"touch the {thing.kind} please" for thing in world.layout.things]
    sentence = next(words for words in asked if "he does it" in expert.tell(words))
    nodes = [
        start(ros_domain, "jack_trainer.recorder_node", f"folder:={tmp_path}"),
        start(ros_domain, "jack_trainer.expert_node"),
        start(ros_domain, "jack_sim.sim_node", "scene:=tabletop", "gantry:=never", "seed:=3", "lock_step:=true"),
    ]
    teacher = Teacher(ros_domain)
    try:
        teacher.until(lambda: teacher.record.server_is_ready() and teacher.heard)
        time.sleep(1.0)  # he stands a while
        goal = teacher.begin(sentence)
        teacher.until(lambda: teacher.heard[-1].endswith(": done"))
        teacher.answer(goal.cancel_goal_async())
        result = teacher.answer(goal.get_result_async()).result
    finally:
        teacher.close()
        for node in nodes:
            node.terminate()
            node.communicate(timeout=30)
    assert result.success, result.message
    bag = Bag(tmp_path / "lesson")
    facts = read_facts(tmp_path / "lesson")
    assert facts.instruction == sentence and not complaints(facts, gaps_allowed=True)
    found = bag.collect(["/instruction", "/joint_command", "/joint_states", "/odom"])
    assert [recorded.message.data for recorded in found["/instruction"]] == [sentence]
    elbows = np.array([m.message.position[CONTRACT.robot.index("left_elbow")] for m in found["/joint_command"]])
    others = np.array([m.message.position[CONTRACT.robot.index("right_elbow")] for m in found["/joint_command"]])
    assert len(elbows) > 40 and max(np.ptp(elbows), np.ptp(others)) > 0.5


@needs_policy
@pytest.mark.ros
@pytest.mark.slow
def test_record_has_the_expert_told_and_marks_what_he_did(ros_domain, tmp_path):
    pytest.importorskip("jack_msgs", reason="needs ROS 2 and Jack's messages: ./jack test has them")
    options = {
        "--operator": "expert",
        "--instruction": "wave at me",
        "--bags": tmp_path / "bags",
        "--runs": tmp_path,
    }
    words = [str(word) for option in options.items() for word in option]
    done = subprocess.run([sys.executable, "-m", "jack_trainer.cli", "record", *words], timeout=150)
    assert done.returncode == 0
    (path,) = (tmp_path / "bags").iterdir()
    facts, bag = read_facts(path), Bag(path)
    assert (facts.instruction, facts.mark) == ("wave at me", Mark.SUCCESS) and not complaints(facts, True)
    found = bag.collect(["/instruction", "/expert/status", "/cmd_vel", "/camera/image_raw/compressed"])
    assert found["/instruction"][-1].message.data == "wave at me"
    assert [recorded.message.data for recorded in found["/expert/status"]] == ["wave: he does it", "wave: done"]
    assert len(found["/cmd_vel"]) > 50 and len(found["/camera/image_raw/compressed"]) > 5
