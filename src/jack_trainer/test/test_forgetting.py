from dataclasses import replace

import pytest

from jack_contract.gait import Beat
from jack_trainer import transcript
from jack_trainer.evaluate import Evaluation
from jack_trainer.forgetting import Gate, exam_of, forgotten, scored
from jack_trainer.phases import PHASES, phase
from jack_trainer.tasks.lessons import EXAM, WALK_EXAM
from jack_trainer.transcript import Entry, Score, Transcript

SLOW = Beat(0.9, 1.0)


def score(survived=97, velocity=0.1, yaw=0.2, episodes=100):
    return Score(episodes=episodes, survived=survived, velocity_error=velocity, yaw_rate_error=yaw)


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        (score(), []),
        (score(100, 0.01, 0.01), []),
        (score(95), []),  # two in a hundred
        (score(94), ["94% of the episodes end on his feet, 97% did (allowed: 2% less)"]),
        (score(970, episodes=1000), []),
        (score(950, episodes=1000), []),
        (score(949, episodes=1000), ["95% of the episodes"]),
        (score(velocity=0.11), []),  # a tenth of 0.1
        (score(velocity=0.1101), ["he errs by 0.110 m/s, it was 0.100 (allowed: 10% more)"]),
        (score(yaw=0.22), []),
        (score(yaw=0.221), ["he errs by 0.221 rad/s, it was 0.200"]),
        (score(velocity=float("nan")), ["he errs by nan m/s"]),
        (score(0, 0.5, 0.5), ["0% of", "0.500 m/s", "0.500 rad/s"]),
    ],
)
def test_what_is_lost_of_walking(now, lost):
    found = forgotten({"walk": score()}, {"walk": now})
    assert len(found) == len(lost)
    for line, words in zip(found, lost, strict=True):
        assert line.startswith("walk: ") and words in line


def test_where_he_gets_to_counts_only_if_it_did():
    assert forgotten({"stand": score()}, {"stand": score(velocity=0.5, yaw=0.9)}) == []
    assert len(forgotten({"stand": score()}, {"stand": score(90)})) == 1
    assert forgotten({"stand": score(49)}, {"stand": score(0)}) == []  # he could not do it before
    both = forgotten({"stand": score(), "walk": score()}, {"stand": score(90), "walk": score(80)})
    assert [line.split(":")[0] for line in both] == ["stand", "walk"]


def test_an_exam_is_held_with_the_reflexes_and_at_the_beat_of_the_policy():
    stand, walk = phase("stand"), phase("walk")
    assert exam_of(stand, stand, None) == EXAM and exam_of(walk, walk, None) == WALK_EXAM
    told = exam_of(stand, walk, SLOW)
    assert (told.alarm, told.beat, told.command) == (EXAM.episode, SLOW, EXAM.command)
    assert replace(told, alarm=0.0, beat=None) == EXAM


class Examiner:
    """Says what comes of exams, and remembers which were held."""

    def __init__(self, **survived):
        self.survived, self.held = survived, []

    def __call__(self, task):
        skill = "walk" if task.command != EXAM.command else "stand"
        self.held.append((skill, task.beat))
        return Evaluation(100, self.survived[skill], 20.0, 60.0, 0.1, 0.1)


def gate(run, taught, examine, *before):
    told = Transcript(entries=list(before))
    return Gate(run, PHASES[taught], told, Entry(phase=taught, begun=1000, parent="ab"), examine)


def passed(name, survived=97, **more):
    return Entry(phase=name, step=1000, ended="passed", scores={name: score(survived)}, **more)


def test_the_outcome_is_on_disk_with_each_exam(tmp_path):
    examine = Examiner(stand=90, walk=99)
    held = gate(tmp_path, "walk", examine, passed("stand"))
    held.begin()
    assert [e.phase for e in transcript.read(tmp_path).entries] == ["stand", "walk"] and examine.held == []
    assert held.guards and held.skills == {"stand": score()}
    assert held.hold(2000, None) == Evaluation(100, 99, 20.0, 60.0, 0.1, 0.1)
    walk = transcript.read(tmp_path).entries[1]
    assert (walk.step, walk.ended, walk.begun) == (2000, "", 1000) and len(walk.forgot) == 1
    assert {name: one.survived for name, one in walk.scores.items()} == {"walk": 99, "stand": 90}
    examine.survived["stand"] = 97
    held.hold(3000, None)
    held.end("passed")
    walk = transcript.read(tmp_path).entries[1]
    assert (walk.step, walk.ended, walk.forgot) == (3000, "passed", [])


def test_what_two_skills_are_examined_by_alike_is_examined_once(tmp_path):
    examine = Examiner(stand=97, walk=96)
    held = gate(tmp_path, "natural", examine, passed("stand"), passed("walk", 99))
    held.begin()
    held.hold(2000, SLOW)
    assert examine.held == [("walk", SLOW), ("stand", SLOW)]
    natural = transcript.read(tmp_path).entries[-1]
    assert natural.beat == SLOW and natural.scores["walk"] == natural.scores["natural"]
    assert [line.split(":")[0] for line in natural.forgot] == ["walk"]  # against what walking was, not standing


def test_who_was_never_examined_is_before_he_can_forget(tmp_path):
    examine = Examiner(stand=80, walk=99)
    held = gate(tmp_path, "walk", examine, Entry(phase="stand", step=1000, beat=SLOW, ended="steps"))
    held.begin()
    assert examine.held == [("stand", SLOW)] and held.skills["stand"].survived == 80
    assert held.beat_before == SLOW
    held.hold(2000, SLOW)
    assert held.entry.forgot == []


def test_the_first_phase_has_nothing_to_forget(tmp_path):
    held = gate(tmp_path, "stand", Examiner(stand=3))
    held.begin()
    assert not held.guards and held.beat_before is None
    held.hold(1000, None)
    assert held.entry.forgot == [] and held.skills == {}


def test_an_evaluation_is_kept_as_a_score():
    assert scored(Evaluation(100, 97, 19.0, 80.0, 0.1, 0.2)) == score()
