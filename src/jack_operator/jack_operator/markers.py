"""What RViz shows beside the robot's model: arrows, soles, and how the brain is. Messages are made by hand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jack_contract.arrays import Float64
from jack_operator import panel
from jack_operator.scene import Frame, Scene

#: A ROS message of whatever class.
Message = Any

#: Of visualization_msgs/Marker.
ARROW, CYLINDER, TEXT = 0, 3, 9
ADD, DELETE = 0, 2
GROUND = "odom"
#: How long RViz keeps a marker that is not renewed [s].
LIFETIME = 1
#: Red, green, blue, opacity, 0 to 1 [1].
_ASKED, _MEASURED = (0.98, 0.42, 0.16, 0.9), (0.13, 0.55, 0.90, 0.9)
_TOUCHES, _LIFTED = (0.17, 0.54, 0.24, 0.7), (0.68, 0.71, 0.74, 0.7)
_LEVELS = {"good": (0.17, 0.54, 0.24, 1.0), "warn": (0.90, 0.55, 0.0, 1.0), "bad": (0.79, 0.16, 0.16, 1.0)}
_QUIET = (0.5, 0.5, 0.5, 1.0)
#: Of an arrow: shaft, head and length of the head [m]; of a sole and of letters [m]; how high letters hang [m].
_ARROW_SIZE, _SOLE, _LETTERS, _ABOVE = (0.025, 0.06, 0.08), 0.14, 0.09, 0.75


class Markers:
    """Makes the markers of one moment."""

    def __init__(self, make: Callable[[], Message], point: Callable[[], Message]) -> None:
        """Hand in what makes an empty visualization_msgs/Marker, and an empty geometry_msgs/Point."""
        self._make, self._point = make, point

    def of(self, scene: Scene, frame: Frame, now: float) -> list[Message]:
        """Every marker at a time [s]; what is not known is deleted, in case it was shown before."""
        found = [
            self._arrow("asked", 0, frame, frame.command, _ASKED),
            self._arrow("measured", 1, frame, frame.velocity, _MEASURED),
            self._text(scene, frame, now),
        ]
        return found + [
            self._sole(number, foot.position, _TOUCHES if foot.contact else _LIFTED)
            for number, foot in enumerate(frame.feet)
        ]

    def _arrow(
        self, name: str, number: int, frame: Frame, velocity: Float64 | None, colour: tuple[float, ...]
    ) -> Message:
        marker = self._marker(name, number, ARROW, colour)
        if velocity is None:
            marker.action = DELETE
            return marker
        start, end = frame.arrow(velocity)
        marker.points = [self._at(start), self._at(end)]
        marker.scale.x, marker.scale.y, marker.scale.z = _ARROW_SIZE
        return marker

    def _sole(self, number: int, position: Float64, colour: tuple[float, ...]) -> Message:
        marker = self._marker("feet", number, CYLINDER, colour)
        marker.pose.position = self._at(position)
        marker.scale.x, marker.scale.y, marker.scale.z = _SOLE, _SOLE, 0.005
        return marker

    def _text(self, scene: Scene, frame: Frame, now: float) -> Message:
        brain = scene.brain.get(now)
        state = panel.state(brain)
        marker = self._marker("status", 0, TEXT, _LEVELS.get(state.level, _QUIET))
        marker.text = "\n".join(filter(None, [state.text, brain.fault if brain is not None else ""]))
        marker.pose.position = self._at(frame.position)
        marker.pose.position.z += _ABOVE
        marker.scale.z = _LETTERS
        return marker

    def _marker(self, name: str, number: int, kind: int, colour: tuple[float, ...]) -> Message:
        marker = self._make()
        marker.header.frame_id = GROUND
        marker.ns, marker.id, marker.type, marker.action = name, number, kind, ADD
        marker.pose.orientation.w = 1.0
        marker.color.r, marker.color.g, marker.color.b, marker.color.a = colour
        marker.lifetime.sec = LIFETIME
        return marker

    def _at(self, position: Float64) -> Message:
        point = self._point()
        point.x, point.y, point.z = map(float, position)
        return point
