"""The figures beside the picture, as HTML. Whatever came in a message is escaped: it may come from anybody."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jack_contract.arrays import Float64
from jack_operator.scene import STALE, Frame, Scene

Message = Any

#: Words for the states of jack_msgs/BrainStatus and DriverStatus, and how bad each is.
BRAIN_STATES = (
    ("not active", "quiet"),
    ("holding the default pose", "warn"),
    ("a policy takes over", "warn"),
    ("a policy drives", "good"),
    ("damped: stopped", "bad"),
    ("damped: fault", "bad"),
)
DRIVER_STATES = (("waiting for a brain", "warn"), ("passes commands on", "good"), ("damped", "bad"))
#: Words for what the simulated gantry does.
GANTRY = {"held": "holds him", "lowering": "lets him down", "released": "is not needed", "lifting": "lifts him"}
_COLOURS = {"good": "#2b8a3e", "warn": "#b35c00", "bad": "#c92a2a", "quiet": "#868e96", "": "inherit"}
#: Longer texts than this are cut [characters].
MAX_TEXT = 300


@dataclass(frozen=True)
class Row:
    """A line of the panel."""

    label: str
    text: str
    #: good, warn, bad, quiet or nothing in particular
    level: str = ""


def rows(scene: Scene, frame: Frame, now: float) -> list[Row]:
    """What there is to say at a time [s]."""
    found = [*_brain(scene.brain.get(now)), *_driver(scene.driver.get(now)), *_motion(frame)]
    if scene.gantry:
        found.append(Row("gantry", GANTRY.get(scene.gantry, scene.gantry)))
    if (training := scene.training.get(now, age=30.0)) is not None:
        found.append(Row("training", f"{training.phase}, step {training.step:,} of {training.total_steps:,}"))
    if scene.malformed:
        found.append(Row("not believed", f"{scene.malformed} messages; {scene.complaint}", "warn"))
    return found


def state(brain: Message | None) -> Row:
    """How the brain is by its last word, a BrainStatus, in a few words."""
    return Row("brain", "no word from the brain", "quiet") if brain is None else _state(brain.state, BRAIN_STATES)


def page(given: Iterable[Row]) -> str:
    """The lines as HTML."""
    lines = "".join(
        f'<tr><td style="opacity:.6;padding:1px 10px 1px 0;vertical-align:top;white-space:nowrap">'
        f"{html.escape(row.label)}</td>"
        f'<td style="color:{_COLOURS[row.level]};overflow-wrap:anywhere">{html.escape(_cut(row.text))}</td></tr>'
        for row in given
    )
    return f'<table style="margin:2px 16px;font-size:13px;line-height:1.35">{lines}</table>'


def headline(row: Row) -> str:
    """A line that is seen from across the room, as HTML."""
    return (
        f'<div style="margin:6px 12px;padding:8px 12px;border-radius:8px;color:white;font-weight:600;'
        f'background:{_COLOURS[row.level or "quiet"]}">{html.escape(_cut(row.text))}</div>'
    )


def velocity(values: Float64 | None) -> str:
    """A velocity (3,) in words."""
    if values is None:
        return "-"
    return f"{values[0]:+.2f}, {values[1]:+.2f} m/s, {values[2]:+.2f} rad/s"


def _brain(brain: Message | None) -> list[Row]:
    if brain is None:
        return []
    found = [Row("fault", brain.fault, "bad")] if brain.fault else []
    policy = f"{brain.phase}, step {brain.step:,} ({brain.policy[:12]})" if brain.policy else "none yet"
    taken = f"{brain.swaps} taken over, {brain.rollbacks} back, {brain.refused} refused"
    found += [Row("policy", policy, "" if brain.policy else "warn"), Row("policies", taken)]
    if brain.refusal:
        found.append(Row("refused", brain.refusal, "warn"))
    if brain.shadow:
        found.append(Row("on trial", f"{brain.shadow[:12]}, {brain.shadow_time:.1f} s: {brain.shadow_report}"))
    late = brain.missed / max(1, brain.ticks)
    return [
        *found,
        Row("value", f"{brain.value:.2f}"),
        Row("latency", f"{1e3 * brain.latency:.2f} ms, at most {1e3 * brain.latency_max:.2f} ms"),
        Row("missed", f"{brain.missed:,} of {brain.ticks:,} periods", "warn" if late > 0.01 else ""),
    ]


def _driver(driver: Message | None) -> list[Row]:
    if driver is None:
        return []
    said = _state(driver.state, DRIVER_STATES)
    counted = f"{driver.passed:,} passed, {driver.ignored:,} ignored, {driver.refused:,} refused"
    found = [Row("driver", said.text, said.level), Row("commands", counted)]
    if driver.fault:
        found.append(Row("driver's fault", driver.fault, "bad"))
    if driver.publishers > 1:
        found.append(Row("publishers", f"{driver.publishers} on joint_command", "bad"))
    return found


def _motion(frame: Frame) -> list[Row]:
    height = f"{frame.position[2]:.2f} m" if frame.source == "odometry" else "unknown"
    down = [foot.name.removesuffix("_foot_frame") for foot in frame.feet if foot.contact]
    known = any(foot.contact is not None for foot in frame.feet)
    silent = "never heard" if math.isinf(frame.age) else f"not heard for {frame.age:.0f} s"
    return [
        *([Row("joints", silent, "bad")] if frame.age > STALE else []),
        Row("asked", velocity(frame.command)),
        Row("measured", velocity(frame.velocity)),
        Row("height", f"{height}, pose from {frame.source}"),
        *([Row("on the ground", " and ".join(down) or "neither foot")] if known else []),
    ]


def _state(number: int, words: tuple[tuple[str, str], ...]) -> Row:
    text, level = words[number] if 0 <= number < len(words) else (f"state {number}", "warn")
    return Row("state", text, level)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
