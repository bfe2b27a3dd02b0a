import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_contract.errors import JackError, MessageError
from jack_operator.keys import Key, KeyReader
from jack_operator.limits import LIMITS, approach, limited
from jack_operator.parameters import TeleopParameters
from jack_operator.teleop import FAREWELL, Sticks, Teleop, read_joy

PERIOD = 0.05
KEYS = [Key.FORWARD, Key.BACKWARD, Key.LEFT, Key.RIGHT, Key.TURN_LEFT, Key.TURN_RIGHT]


def drive(teleop, seconds, since, keys=(), sticks=None):
    """Velocities every 50 ms while keys repeat, or sticks are sent."""
    found = []
    for k in range(round(seconds / PERIOD)):
        now = since + k * PERIOD
        for key in keys:
            teleop.press(key, now)
        if sticks is not None:
            teleop.move(sticks, now)
        found.append(teleop.velocity(now))
    return found


@pytest.mark.parametrize(
    ("key", "end"),
    [*zip(KEYS, [(1, 0, 0), (-0.3, 0, 0), (0, 0.3, 0), (0, -0.3, 0), (0, 0, 0.8), (0, 0, -0.8)], strict=True)],
)
def test_a_key_that_is_held_reaches_its_limit_smoothly(key, end):
    found = np.array(drive(Teleop(TeleopParameters()), 1.5, 10.0, [key])[1:])
    assert found[-1] == pytest.approx(end)
    steps = np.abs(np.diff(found, axis=0)).max(axis=0)
    assert (steps <= np.array([1.0, 1.0, 2.0]) * PERIOD + 1e-9).all() and steps.max() > 0.0


def test_keys_that_fall_silent_mean_zero_after_their_time_and_then_others_may_steer():
    teleop = Teleop(TeleopParameters())
    drive(teleop, 0.5, 0.0, [Key.FORWARD])  # the last key at 0.45 s
    speeds = drive(teleop, 2.0, 0.5)
    assert speeds[4][0] > speeds[3][0] > 0.4  # up to 0.75 s it counts
    falling = [velocity[0] for velocity in speeds[5:12]]  # from 0.85 m/s, 0.15 less each time
    assert falling == pytest.approx([0.85, 0.7, 0.55, 0.4, 0.25, 0.1, 0.0])
    last = next(k for k, velocity in enumerate(speeds) if velocity is None)
    zeros = [velocity for velocity in speeds[:last] if velocity is not None and not velocity.any()]
    assert len(zeros) == pytest.approx(FAREWELL / PERIOD, abs=1) and speeds[last:] == [None] * (40 - last)


def test_nothing_is_asked_for_before_a_key():
    assert drive(Teleop(TeleopParameters()), 0.5, 0.0) == [None] * 10


def test_two_keys_at_once_are_two_directions():
    found = drive(Teleop(TeleopParameters()), 1.5, 0.0, [Key.BACKWARD, Key.TURN_LEFT])[-1]
    assert found == pytest.approx([-0.3, 0.0, 0.8])


def test_stop_is_zero_at_once():
    teleop = Teleop(TeleopParameters())
    drive(teleop, 1.0, 0.0, [Key.FORWARD])
    teleop.press(Key.STOP, 1.0)
    assert not teleop.velocity(1.0).any() and not teleop.velocity(1.05).any()


def joy(forward=0.0, left=0.0, turn=0.0, held=1, stop=0):
    axes, buttons = [left, forward, 9.0, turn], [0, stop, 0, 0, held]
    return read_joy(axes, buttons, TeleopParameters())


def test_sticks_drive_in_proportion_while_the_dead_man_button_is_held():
    teleop = Teleop(TeleopParameters())
    found = drive(teleop, 1.5, 0.0, sticks=joy(forward=0.55, left=-1.0, turn=1.0))[-1]
    assert found == pytest.approx([0.5, -0.3, 0.8])  # half of what lies beyond the middle tenth
    let_go = drive(teleop, 2.0, 1.5, sticks=joy(forward=1.0, held=0))
    assert let_go[0][0] < 0.5 and let_go[8][0] == 0.0 and let_go[-1] is None


def test_a_gamepad_that_falls_silent_is_zero_after_its_time():
    teleop = Teleop(TeleopParameters())
    drive(teleop, 1.5, 0.0, sticks=joy(forward=1.0))
    silent = drive(teleop, 2.0, 1.5)
    assert silent[4][0] == pytest.approx(1.0) and silent[14][0] == 0.0 and silent[-1] is None


def test_the_stop_button_is_zero_at_once():
    teleop = Teleop(TeleopParameters())
    drive(teleop, 1.0, 0.0, sticks=joy(forward=1.0))
    teleop.move(joy(forward=1.0, stop=1), 1.0)
    assert not teleop.velocity(1.0).any()


def test_a_middle_that_is_not_quite_one_is_one():
    assert not joy(forward=0.09, left=-0.1, turn=0.05).axes.any()
    assert joy(forward=7.0).axes[0] == 1.0 and joy(forward=-7.0).axes[0] == -1.0


@pytest.mark.parametrize(
    ("axes", "buttons", "said"),
    [
        ([0.0] * 3, [0] * 5, "3 axes and 5 buttons"),
        ([0.0] * 4, [0] * 4, "4 axes and 4 buttons"),
        ([], [], "0 axes"),
        ([0.0, float("nan"), 0.0, 0.0], [0] * 5, "expected numbers"),
        ([0.0, float("inf"), 0.0, 0.0], [0] * 5, "expected numbers"),
    ],
)
def test_a_gamepad_that_does_not_fit_is_named(axes, buttons, said):
    with pytest.raises(MessageError, match=said):
        read_joy(axes, buttons, TeleopParameters())


@pytest.mark.parametrize(
    "wrong",
    [{"timeout": 9.0}, {"timeout": float("nan")}, {"axis_turn": -1}, {"acceleration": 0.0}, {"deadzone": 1.0}],
)
def test_fault_31_parameters_beyond_their_limits_are_refused(wrong):
    with pytest.raises(JackError, match=next(iter(wrong))):
        TeleopParameters(**wrong)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(list(Key)),
            st.builds(
                Sticks,
                st.tuples(*[st.floats(-1.0, 1.0)] * 3).map(np.array),
                st.booleans(),
                st.booleans(),
            ),
            st.floats(0.0, 1.0),
        ),
        max_size=60,
    )
)
def test_whatever_is_pressed_the_velocity_is_within_the_limits_and_no_jump_is_upwards(events):
    teleop, now, before = Teleop(TeleopParameters()), 0.0, np.zeros(3)
    for event in events:
        if isinstance(event, Key):
            teleop.press(event, now)
        elif isinstance(event, Sticks):
            teleop.move(event, now)
        else:
            now += event
        velocity = teleop.velocity(now)
        if velocity is not None:
            assert (velocity >= LIMITS[0]).all() and (velocity <= LIMITS[1]).all()
            faster = np.abs(velocity) - np.abs(before)
            assert (faster <= np.array([0.1, 0.1, 0.2]) + 1e-9).all()
            before = velocity


# -- keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"wsadqe", KEYS),
        (b"W", [Key.FORWARD]),
        (b"\x1b[A\x1b[B\x1b[D\x1b[C", [Key.FORWARD, Key.BACKWARD, Key.TURN_LEFT, Key.TURN_RIGHT]),
        (b"\x1bOA", [Key.FORWARD]),
        (b"\x1b[1;5A", [Key.FORWARD]),  # with control held
        (b" r", [Key.STOP, Key.RESET]),
        (b"\x1b[3~x\xff", []),
        (b"\x1b ", [Key.STOP]),
        (b"\x1b[00000000000 ", [Key.STOP]),
    ],
)
def test_bytes_of_a_terminal_are_keys(data, keys):
    assert KeyReader().read(data) == keys


@given(st.lists(st.sampled_from([b"w", b"\x1b[A", b"\x1bOD", b" ", b"\x1b[1;2C", b"z"])), st.data())
def test_keys_may_come_in_pieces(words, data):
    stream = b"".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    reader, found = KeyReader(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.read(stream[begin:end])
    assert found == KeyReader().read(stream)


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_no_bytes_upset_it_and_stop_is_heard_after_any(pieces):
    reader = KeyReader()
    for piece in pieces:
        reader.read(piece)
    assert Key.STOP in reader.read(b" " * 9)


# -- limits


def test_limits_are_those_he_is_taught():
    lesson = pytest.importorskip("jack_trainer.tasks.lessons").WALK_EXAM
    np.testing.assert_allclose(np.array(lesson.command).T, LIMITS)


@given(st.lists(st.floats(), min_size=3, max_size=3))
def test_whatever_a_page_asks_for_is_a_number_within_the_limits(velocity):
    found = limited(velocity)
    assert (found >= LIMITS[0]).all() and (found <= LIMITS[1]).all()


def test_approach_goes_no_faster_than_it_may_and_no_further_than_it_should():
    now, acceleration = np.array([0.0, 0.2, -0.5]), np.array([1.0, 1.0, 2.0])
    assert approach(now, np.array([1.0, 0.0, -0.45]), acceleration, 0.1) == pytest.approx([0.1, 0.1, -0.45])
