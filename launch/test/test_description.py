import pytest

from jack_launch.description import Graph, LaunchArgument, LaunchError, NodeSpec, number, whole_number

GRAPH = Graph(
    "a toy",
    (LaunchArgument("mood", "good", "how it is", ("good", "bad")), LaunchArgument("name", "toy", "its name")),
    lambda args: (NodeSpec("toys", "toy", args["name"], parameters={"mood": args["mood"]}),),
)


def test_arguments_that_are_not_given_have_their_defaults():
    assert GRAPH.nodes() == (NodeSpec("toys", "toy", "toy", parameters={"mood": "good"}),)
    assert GRAPH.nodes({"name": "bear"})[0].name == "bear"


def test_an_unknown_argument_is_refused_with_the_nearest_one():
    with pytest.raises(LaunchError, match=r"no argument 'moood'. Did you mean 'mood'\? Valid: mood, name"):
        GRAPH.nodes({"moood": "good"})


def test_a_value_outside_the_choices_is_refused_with_the_choices():
    with pytest.raises(LaunchError, match="mood is 'sad'; allowed: good, bad"):
        GRAPH.nodes({"mood": "sad"})


def test_ros_arguments_keep_the_type_of_every_value():
    spec = NodeSpec(
        "toys",
        "toy",
        "bear",
        namespace="den/",
        parameters={"flag": True, "count": 3, "rate": 1.0, "text": "it's 1", "empty": ""},
        remappings=(("from", "to"),),
    )
    assert spec.ros_arguments() == [
        *("--ros-args", "-r", "__node:=bear", "-r", "from:=to", "-r", "__ns:=/den"),
        *("-p", "flag:=true", "-p", "count:=3", "-p", "rate:=1.0", "-p", "text:='it''s 1'", "-p", "empty:=''"),
    ]
    assert spec.full_name == "/den/bear"
    assert NodeSpec("toys", "toy", "bear").full_name == "/bear"


@pytest.mark.parametrize("text", ["-1", "1.5", "", "x", "nan", "²"])
def test_a_whole_number_is_nothing_else(text):
    assert whole_number("steps", "12") == 12
    with pytest.raises(LaunchError, match="steps is"):
        whole_number("steps", text)


@pytest.mark.parametrize("text", ["-1", "", "x", "nan", "inf"])
def test_a_number_is_finite_and_not_negative(text):
    assert number("factor", "0.5") == 0.5
    with pytest.raises(LaunchError, match="factor is"):
        number("factor", text)
