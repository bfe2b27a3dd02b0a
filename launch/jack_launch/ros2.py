"""The front end of `ros2 launch`: a graph as actions of launch_ros."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The ROS 2 of PyPI has no launch: where types are checked, it is usually not there.

from __future__ import annotations

from launch.action import Action
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from jack_launch.description import Graph, NodeSpec, Parameter
from launch import LaunchContext, LaunchDescription


def describe(graph: Graph) -> LaunchDescription:
    """The launch description of a graph: its arguments, and its nodes once the arguments are known."""
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in graph.arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start, args=[graph])])


def _start(context: LaunchContext, graph: Graph) -> list[Action]:
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in graph.arguments}
    return [action for spec in graph.nodes(given) for action in _actions(spec)]


def _actions(spec: NodeSpec) -> list[Action]:
    node = (LifecycleNode if spec.lifecycle else Node)(
        package=spec.package,
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        parameters=[{name: _parameter(value) for name, value in spec.parameters.items()}],
        remappings=list(spec.remappings),
        additional_env=dict(spec.environment),
        output="screen",
        on_exit=[OpaqueFunction(function=_end_all, args=[spec])] if spec.required else None,
    )
    if not isinstance(node, LifecycleNode):
        return [node]
    # In this order: a node hears of transitions only once it was executed.
    return [_when_configured(node), node, _change(node, Transition.TRANSITION_CONFIGURE)]


def _end_all(context: LaunchContext, spec: NodeSpec) -> list[Action]:
    """End everything because a required node did, unless everything is being ended already."""
    return [] if context.is_shutdown else [Shutdown(reason=f"{spec.full_name} ended")]


def _when_configured(node: LifecycleNode) -> Action:
    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="configuring",
            goal_state="inactive",
            entities=[_change(node, Transition.TRANSITION_ACTIVATE)],
        )
    )


def _change(node: LifecycleNode, transition: int) -> Action:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))


def _parameter(value: Parameter) -> object:
    """As it is: without a type, launch_ros would read the string '1' as a number."""
    if isinstance(value, tuple):
        return list(value)
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value
