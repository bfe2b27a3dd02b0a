"""Only a training, in this process: no graph, no ROS. Import it once the environment is fit for learning."""

from __future__ import annotations

import time
from pathlib import Path

from jack_trainer.course import Course
from jack_trainer.display import Display, Scene
from jack_trainer.lesson import in_words
from jack_trainer.live_graph import FAILED, INTERRUPTED, OK
from jack_trainer.session import PERIOD, Interrupts
from jack_trainer.training import PolicyFile, Progress, TrainOptions
from jack_trainer.write_up import WriteUp


class Watcher:
    """A listener that shows what it hears."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def on_progress(self, progress: Progress) -> None:
        """An update is done."""
        self._display.show(
            Scene(
                phase=progress.phase,
                step=progress.step,
                total_steps=progress.total_steps,
                steps_per_second=progress.steps_per_second,
                mean_return=progress.mean_return,
                mean_episode_length=progress.mean_episode_length,
                remaining=progress.remaining,
            )
        )

    def on_policy(self, policy: PolicyFile) -> None:
        """A checkpoint with a policy is published."""

    def on_news(self, news: str) -> None:
        """Something is worth a line."""
        self._display.say(news, "yellow")


def train_alone(options: TrainOptions, report: bool = False) -> int:
    """Train until it is done or Ctrl-C comes, and have a report made; returns the exit code.

    Raises:
        JackError: an unknown phase or size, or nothing to resume.
    """
    with Interrupts() as interrupts, Display() as display:
        display.show(Scene(note="loading"))
        result = Course(options, Watcher(display)).run(lambda: interrupts.came)
        display.say(in_words(result), "bold red" if result.forgot else "bold green")
        display.say(f"  policy       {result.policy}")
        display.say("  next         " + ("./jack train --resume" if interrupts.came else "./jack deploy --sim"))
        if interrupts.came:
            return INTERRUPTED
        if report:
            _write_up(display, interrupts, result.run)
    return FAILED if result.forgot else OK


def _write_up(display: Display, interrupts: Interrupts, run: Path) -> None:
    """Have scores and report made; Ctrl-C ends both."""
    with WriteUp(run) as work:
        while not (interrupts.came or work.proceed()):
            display.show(Scene(note=work.note))
            time.sleep(PERIOD)
    for line in work.said:
        display.say(line)
