from jack_sim.gantry import GantryMode
from jack_sim.keeper import PAUSE, SETTLE, Keeper

HELD, LOWERING, RELEASED, LIFTING = (
    GantryMode.HELD,
    GantryMode.LOWERING,
    GantryMode.RELEASED,
    GantryMode.LIFTING,
)


class Rope:
    def __init__(self):
        self.mode = HELD

    def lower(self):
        self.mode = LOWERING

    def lift(self):
        self.mode = LIFTING


class Story:
    """Time passes in steps of 20 ms; what happened is remembered with its time."""

    def __init__(self):
        self.rope = Rope()
        self.keeper = Keeper(self.rope)
        self.step, self.events = 0, []

    @property
    def now(self):
        return 0.02 * self.step

    def wait(self, seconds, fallen=False, driven=True, policy="a"):
        for _ in range(round(seconds / 0.02)):
            self.step += 1
            if event := self.keeper.watch(self.now, fallen, driven, policy):
                self.events.append((round(self.now, 2), event))

    def let_down(self):
        self.wait(SETTLE + 0.1)
        self.rope.mode = RELEASED
        self.wait(0.02)
        self.events.clear()


def test_he_hangs_until_a_policy_has_driven_him_for_a_second():
    story = Story()
    story.wait(5.0, driven=False)
    story.wait(0.9)
    story.wait(0.1, driven=False)
    story.wait(0.98)
    assert story.rope.mode is HELD and story.events == []
    story.wait(0.1)
    assert story.rope.mode is LOWERING
    assert [event for _, event in story.events] == ["Jack is let down"]


def test_once_released_he_stands_and_the_time_is_counted():
    story = Story()
    story.wait(SETTLE + 0.1)
    story.rope.mode = RELEASED
    story.wait(2.0)
    assert story.events[-1][1] == "Jack stands on his own feet"
    assert abs(story.keeper.standing(story.now) - 1.98) < 1e-9
    assert story.keeper.falls == 0


def test_a_fall_is_told_with_its_time_and_he_is_lifted():
    story = Story()
    story.let_down()
    story.wait(3.2)
    story.wait(0.02, fallen=True)
    assert story.rope.mode is LIFTING and story.keeper.falls == 1
    assert story.events == [(story.events[0][0], "Jack fell after 3.2 s; lifted")]
    assert story.keeper.standing(story.now) == 0.0


def test_who_collapses_on_the_rope_is_lifted_too():
    story = Story()
    story.wait(SETTLE + 0.1)
    story.wait(0.02, fallen=True)
    assert story.rope.mode is LIFTING and story.events[-1][1] == "Jack did not carry himself; lifted"


def hang_again(story, policy):
    story.let_down()
    story.wait(0.1, fallen=True)
    story.rope.mode = HELD
    story.wait(0.02, policy=policy)
    story.events.clear()
    return story.now


def test_the_policy_that_fell_is_tried_again_after_a_pause():
    story = Story()
    hung = hang_again(story, "a")
    story.wait(PAUSE + 0.1)
    assert [event for _, event in story.events] == ["Jack is let down"]
    assert abs(story.events[0][0] - hung - PAUSE) < 0.05


def test_a_new_policy_is_tried_at_once():
    story = Story()
    hung = hang_again(story, "b")
    story.wait(PAUSE, policy="b")
    assert story.events[0][0] - hung < 0.1


def test_a_brain_that_damps_is_cleared_only_when_he_hangs_quietly():
    story = Story()
    assert not story.keeper.wants_reset(story.now)
    hang_again(story, "a")
    story.wait(PAUSE - 0.1, driven=False)
    assert not story.keeper.wants_reset(story.now)
    story.wait(0.2, driven=False)
    assert story.keeper.wants_reset(story.now)


def test_nobody_at_the_wheel_on_the_way_down_means_up_again():
    story = Story()
    story.wait(SETTLE + 0.1)
    story.wait(0.02, driven=False)
    assert story.rope.mode is LIFTING and "Nobody drives" in story.events[-1][1]
    assert story.keeper.falls == 0


def test_on_his_own_feet_a_silent_brain_is_no_fall():
    story = Story()
    story.let_down()
    story.wait(1.0, driven=False)
    assert story.rope.mode is RELEASED and story.events == []


def test_after_a_reset_everything_begins_anew():
    story = Story()
    hang_again(story, "a")
    story.keeper.restart(story.now)
    assert not story.keeper.wants_reset(story.now + 100.0)
    story.wait(SETTLE + 0.1)
    assert story.rope.mode is LOWERING
