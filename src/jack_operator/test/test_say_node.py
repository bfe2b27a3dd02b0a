"""The node `say` in a process of its own, and a brain that answers as one does."""

import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from jack_operator.say_node import LATCHED

pytestmark = pytest.mark.ros


class Brain:
    """Hears sentences, and tells of them in its diagnostics; of the first one it always tells a little late."""

    def __init__(self, domain, namespace="", sees=True, misheard="nothing", trouble="", listens=True):
        self.context, self.heard, self.beside = Context(), [], []
        self.sees, self.misheard, self.trouble = sees, misheard, trouble
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("brain", namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        if listens:
            self.node.create_subscription(String, "instruction", lambda m: self.heard.append(m.data), LATCHED)
        self.tells = self.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.node.create_timer(0.1, self._tell)

    def _tell(self):
        owner = f"{self.node.get_namespace().rstrip('/')}/jack"
        parts = [DiagnosticStatus(name="brain: safety", hardware_id=owner)]
        if self.sees:
            follows = self.heard[-1].strip() if self.heard and self.misheard == "nothing" else ""
            values = {
                "sentence": follows or "none",
                "sentences heard": str(len(self.heard)),
                "followed": "yes" if follows and not self.trouble else "no",
                "misheard": self.misheard if self.heard else "nothing",
            }
            pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
            parts.append(
                DiagnosticStatus(name="brain: sight", hardware_id=owner, message=self.trouble, values=pairs)
            )
        self.tells.publish(DiagnosticArray(status=parts))

    def told(self, *words):
        """What the node prints, and its exit code."""
        given = [word for word in words if word.startswith("patience")] or ["patience:=8.0"]
        text = next(word for word in words if word.startswith("text"))
        parameters = [item for word in (text, *given) for item in ("-p", word)]
        parameters += ["-r", f"__ns:={self.node.get_namespace()}"] if self.node.get_namespace() != "/" else []
        process = subprocess.Popen(
            [sys.executable, "-m", "jack_operator.say_node", "--ros-args", *parameters],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 30.0
        while process.poll() is None and time.monotonic() < deadline:
            self.executor.spin_once(0.02)
            for other in self.beside:
                other.executor.spin_once(0.01)
        said, complained = process.communicate(timeout=5)
        return process.returncode, (said + complained).strip()

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def brain(ros_domain):
    made = []

    def make(**how):
        made.append(Brain(ros_domain, **how))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_he_follows_is_printed(brain):
    robot = brain()
    assert robot.told("text:='touch the red cube'") == (0, "He follows: touch the red cube")
    assert robot.heard == ["touch the red cube"]


def test_an_empty_sentence_ends_it(brain):
    robot = brain()
    assert robot.told("text:=''") == (0, "He follows nothing any more.")
    assert robot.heard == [""]


def test_what_he_did_not_understand_is_printed_and_no_success(brain):
    code, said = brain(misheard="'xyzzy' is a word that he does not know").told("text:='xyzzy'")
    assert (code, said) == (1, "'xyzzy' is a word that he does not know")


def test_who_sees_nothing_follows_nothing_and_it_says_what_to_type(brain):
    code, said = brain(sees=False).told("text:='wave'")
    assert code == 1 and "start him with camera:=true" in said


def test_where_nobody_listens_it_says_so_within_its_patience(brain):
    code, said = brain(listens=False).told("text:='wave'", "patience:=0.5")
    assert code == 1 and said == "say: Nobody listens on /instruction within 0.5 s: is he deployed?"


def test_a_policy_that_follows_nothing_is_no_success(brain):
    code, said = brain(trouble="The policy that drives follows no sentences.").told("text:='wave'")
    assert (code, said) == (1, "He does not follow it: The policy that drives follows no sentences.")


@pytest.mark.parametrize("text", [" wave ", "none", "nothing"])
def test_whatever_the_words_are_he_is_asked_whether_he_follows(brain, text):
    assert brain().told(f"text:='{text}'")[0] == 0
    assert brain(misheard="he knows no word of it").told(f"text:='{text}'") == (1, "he knows no word of it")


def test_what_another_robot_says_is_not_the_answer(brain):
    robot, other = brain(namespace="/twin"), brain(sees=False)
    robot.beside.append(other)
    assert robot.told("text:='wave'") == (0, "He follows: wave")
    assert other.heard == []
