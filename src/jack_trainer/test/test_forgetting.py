from dataclasses import replace

import pytest

from jack_contract.gait import Beat
from jack_trainer import transcript
from jack_trainer.evaluate import Evaluation
from jack_trainer.forgetting import SURE, Gate, exam_of, forgotten, in_doubt, scored
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
    assert exam_of(walk, walk, SLOW) == replace(WALK_EXAM, beat=SLOW)
    paced = exam_of(phase("natural"), phase("natural"), SLOW)
    assert (paced.straight, paced.straight_speed, paced.command) == (0.5, (1.0, 1.0), WALK_EXAM.command)


class Examiner:
    """Says what comes of exams, and remembers which were held."""

    def __init__(self, **survived):
        self.survived, self.held = survived, []

    def __call__(self, task, episodes):
        skill = "walk" if task.command != EXAM.command else "stand"
        self.held.append((skill, task.beat, episodes))
        # a long exam goes as is said of it, or as the short one does
        survived = self.survived.get(f"{skill}_{episodes}", self.survived[skill] * episodes // 100)
        return Evaluation(episodes, survived, 20.0, 60.0, 0.1, 0.1)


def gate(run, taught, examine, *before):
    told = Transcript(entries=list(before))
    return Gate(run, PHASES[taught], told, Entry(phase=taught, begun=1000, parent="ab"), examine)


def passed(name, survived=97, **more):
    known = score(4 * survived, yaw=0.1, episodes=SURE)
    return Entry(phase=name, step=1000, ended="passed", scores={name: known}, **more)


def test_the_outcome_is_on_disk_with_each_exam(tmp_path):
    examine = Examiner(stand=80, walk=99)
    held = gate(tmp_path, "walk", examine, passed("stand"))
    held.begin()
    assert [e.phase for e in transcript.read(tmp_path).entries] == ["stand", "walk"] and examine.held == []
    assert held.guards and held.skills["stand"].survived == 4 * 97
    assert held.hold(2000, None) == Evaluation(100, 99, 20.0, 60.0, 0.1, 0.1)
    walk = transcript.read(tmp_path).entries[1]
    assert (walk.step, walk.ended, walk.begun) == (2000, "", 1000) and len(walk.forgot) == 1
    assert {name: one.survived for name, one in walk.scores.items()} == {"walk": 99, "stand": 80}
    examine.survived["stand"] = 100
    held.hold(3000, None)
    held.end("passed")
    walk = transcript.read(tmp_path).entries[1]
    assert (walk.step, walk.ended, walk.forgot) == (3000, "passed", [])


def test_what_two_skills_are_examined_by_alike_is_examined_once(tmp_path):
    examine = Examiner(stand=100, walk=80)
    held = gate(tmp_path, "clone", examine, passed("stand"), passed("walk", 99))
    held.begin()
    held.hold(2000, SLOW)
    assert examine.held == [("walk", SLOW, 100), ("stand", SLOW, 100)]
    clone = transcript.read(tmp_path).entries[-1]
    assert clone.beat == SLOW and clone.scores["walk"] == clone.scores["clone"]
    assert [line.split(":")[0] for line in clone.forgot] == ["walk"]  # against what walking was, not standing


def test_who_was_never_examined_is_before_he_can_forget(tmp_path):
    examine = Examiner(stand=80, walk=99)
    held = gate(tmp_path, "walk", examine, Entry(phase="stand", step=1000, beat=SLOW, ended="steps"))
    held.begin()
    assert examine.held == [("stand", SLOW, 100)] and held.skills["stand"].survived == 80
    assert held.beat_before == SLOW
    held.hold(2000, SLOW)
    assert held.entry.forgot == []


@pytest.mark.parametrize(
    ("now", "asked"),
    [
        (score(95, 0.1, 0.1), True),  # 0.02 of 100 are lost, and a standard error is 0.02
        (score(91, 0.1, 0.1), True),
        (score(88, 0.1, 0.1), False),  # 0.09
        (score(100, 0.05, 0.05), False),  # surely nothing
        (score(100, 0.1, 0.102), True),  # 0.11 is allowed: 0.102 is within two standard errors of it, 0.009
        (score(100, 0.05, 0.118), True),
        (score(100, 0.05, 0.2), False),
        (score(4 * 95, 0.1, 0.1, 400), False),  # it is long already
    ],
)
def test_what_a_short_exam_cannot_tell_is_in_doubt(now, asked):
    assert in_doubt(phase("walk"), score(4 * 97, 0.1, 0.1, 400), now) == asked


def test_where_he_gets_to_is_not_in_doubt_for_who_stands_nor_anything_of_who_could_not():
    assert not in_doubt(phase("stand"), score(), score(100, 0.1, 0.22))
    assert in_doubt(phase("walk"), score(), score(100, 0.1, 0.22))
    assert not in_doubt(phase("walk"), score(49), score(47))


@pytest.mark.parametrize(("sure", "lost"), [(389, 0), (379, 1)])
def test_a_longer_exam_decides_where_the_short_one_cannot(tmp_path, sure, lost):
    examine = Examiner(stand=100, walk=94, walk_400=sure)
    held = gate(tmp_path, "clone", examine, passed("stand", 100), passed("walk"))
    held.begin()
    own = held.hold(2000, SLOW)
    assert examine.held == [("walk", SLOW, 100), ("stand", SLOW, 100), ("walk", SLOW, SURE)]
    scores = transcript.read(tmp_path).entries[-1].scores
    assert (own.survived, scores["walk"].survived, scores["clone"].survived) == (sure, sure, sure)
    assert (len(held.entry.forgot), scores["stand"].episodes) == (lost, 100)


def test_what_he_was_taught_last_is_measured_anew_before_he_can_forget(tmp_path):
    examine = Examiner(stand=90, walk=98)
    stand, walk = (Entry(phase=name, ended="passed", scores={name: score(95)}) for name in ("stand", "walk"))
    assert gate(tmp_path, "natural", examine, Entry(phase="walk", scores={"walk": score(49)})).unmeasured == {}
    held = gate(tmp_path, "natural", examine, stand, walk)
    assert held.unmeasured == {"walk": SURE}
    held.begin()
    assert examine.held == [("walk", None, SURE)]  # what standing was he may have changed since
    assert (held.skills["walk"].survived, held.skills["stand"]) == (4 * 98, score(95))
    again = Gate(tmp_path, PHASES["natural"], transcript.read(tmp_path), held.entry, examine)
    again.begin()
    assert len(examine.held) == 1


def test_the_first_phase_has_nothing_to_forget(tmp_path):
    held = gate(tmp_path, "stand", Examiner(stand=3))
    held.begin()
    assert not held.guards and held.beat_before is None
    held.hold(1000, None)
    assert held.entry.forgot == [] and held.skills == {}


def test_an_evaluation_is_kept_as_a_score():
    assert scored(Evaluation(100, 97, 19.0, 80.0, 0.1, 0.2)) == score()
