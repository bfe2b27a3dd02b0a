import math
import re
from dataclasses import replace
from types import SimpleNamespace as Message

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_brain.driver import STRANGER_MEMORY, Driver, DriverLimits, DriverState, Pulse
from jack_brain.safety import Mode
from jack_contract.errors import JackError
from jack_contract.testing import sample_robot
from jack_contract.wire import fill_joint_command

ROBOT = sample_robot()
T = ROBOT.control_period
OURS, THEIRS = 2**63 + 11, 7
WAITING, DRIVING, DAMPING = DriverState


def command(session: int = OURS, mode: int = Mode.RUN, **changes: object) -> Message:
    """What a sound brain sends."""
    message = Message(name=[])
    gains = ROBOT.stiffness, ROBOT.damping
    fill_joint_command(message, ROBOT, mode, ROBOT.default_position + 0.1, *gains, session)
    vars(message).update(changes)
    return message


@pytest.fixture
def driver() -> Driver:
    return Driver(ROBOT)


@pytest.fixture
def driving(driver) -> Driver:
    """Driven by us, at time 0."""
    assert driver.hear(command(), (0.0,)) is not None
    return driver


def watch_until(driver: Driver, start: float, end: float) -> float | None:
    """Watch at the period it asks for; when joints had to be damped that were not."""
    return next((t for t in np.arange(start, end, driver.watch_period).tolist() if driver.watch((t,))), None)


def damps(driver: Driver) -> bool:
    """Whether the motors only resist motion."""
    order = driver.order
    assert (order.mode is Mode.DAMP) == (not order.targets.stiffness.any())
    return order.mode is Mode.DAMP and np.array_equal(order.targets.damping, ROBOT.damping)


# -- what is passed on


def test_before_a_brain_commands_the_joints_only_resist_motion(driver):
    assert driver.state is WAITING and damps(driver)
    assert watch_until(driver, 0.0, 5.0) is None  # and nobody is missed
    assert driver.age((5.0,)) == math.inf


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.RUN])
def test_a_sound_command_is_passed_on_as_it_is(driver, mode):
    order = driver.hear(command(mode=mode), (1.0,))
    assert order is driver.order and (order.mode, order.session) == (mode, OURS)
    assert order.targets.position.tolist() == (ROBOT.default_position + 0.1).tolist()
    assert order.targets.stiffness.tolist() == ROBOT.stiffness.tolist()
    assert (driver.state, driver.session, driver.passed, driver.age((1.5,))) == (DRIVING, OURS, 1, 0.5)


@given(st.permutations(range(ROBOT.count)))
def test_any_order_of_the_joints_is_put_into_the_contracts(order):
    straight = command()
    mixed = command(
        **{f: [getattr(straight, f)[i] for i in order] for f in ("name", "position", "stiffness", "damping")}
    )
    heard = Driver(ROBOT).hear(mixed, (0.0,))
    assert heard.targets.position.tolist() == list(straight.position)
    assert heard.targets.damping.tolist() == list(straight.damping)


@pytest.mark.parametrize("fault", ["", "Stopped"])
def test_damping_is_passed_on_at_once_in_every_state(driver, fault):
    for before in (None, command()):  # while waiting, and while driving
        if before is not None:
            driver.hear(before, (0.0,))
        if fault:
            driver.stop(fault)
        order = driver.hear(command(mode=Mode.DAMP, position=ROBOT.upper + 1.0), (0.01,))  # wherever the joints are
        assert order.mode is Mode.DAMP and damps(driver)
        assert not order.targets.stiffness.any() and np.array_equal(order.targets.damping, ROBOT.damping)


def test_after_the_brains_own_fault_it_goes_on_when_the_brain_does(driving):
    """Its reset is the explicit one; nothing was missed meanwhile."""
    driving.hear(command(mode=Mode.DAMP), (0.02,))
    assert driving.state is DRIVING and damps(driving)
    assert driving.hear(command(), (0.04,)).mode is Mode.RUN


# -- when nothing comes


@pytest.mark.parametrize("phase", np.linspace(0.0, DriverLimits.timeout / 10, 8))
def test_fault_08_a_brain_that_falls_silent_is_damped_within_a_tenth_of_a_second(driving, phase):
    tripped = watch_until(driving, phase, 1.0)
    assert DriverLimits.timeout - 1e-9 <= tripped + driving.watch_period and tripped <= 1.1 * DriverLimits.timeout
    assert 1.1 * DriverLimits.timeout < 0.08  # leaves the rest of 100 ms to the messages
    assert driving.state is DAMPING and damps(driving)
    assert "No command that can be believed for 0.0" in driving.fault


def test_commands_in_time_never_trip(driver):
    for now in np.arange(0.0, 5.0, T).tolist():
        assert driver.hear(command(), (now,)) is not None
        assert watch_until(driver, now, now + T) is None


def test_two_late_commands_in_a_row_are_borne(driving):
    assert watch_until(driving, 0.0, 3 * T) is None
    assert driving.hear(command(), (3 * T,)) is not None and driving.state is DRIVING


def test_what_queued_up_while_the_driver_was_kept_from_running_is_seen_first(driving):
    """It stood still for a second: the first look finds nothing new, then comes what waited in the queue."""
    assert not driving.watch((1.0,))
    driving.hear(command(), (1.0,))
    assert not driving.watch((1.005,)) and driving.state is DRIVING


def test_refused_commands_keep_nobody_alive(driving):
    for now in np.arange(0.0, 0.2, 0.005).tolist():
        assert driving.hear(command(mode=9), (now,)) is None
        driving.hear(command(THEIRS), (now,))
        driving.watch((now,))
    assert driving.state is DAMPING


def test_fault_11_nothing_resumes_by_itself_a_hundred_times(driver):
    for now in np.arange(0.0, 100.0, 1.0).tolist():
        session = OURS + int(now)
        driver.hear(command(session), (now,))
        tripped = watch_until(driver, now, now + 0.5)
        assert tripped is not None
        for again in (session, session + 1):
            order = driver.hear(command(again), (now + 0.6,))
            assert order is None or order.mode is Mode.DAMP
        assert driver.state is DAMPING and damps(driver)
        assert "No command" in driver.reset()
        assert driver.state is WAITING and driver.session == 0 and damps(driver) and driver.fault == ""
        assert watch_until(driver, now + 0.6, now + 0.9) is None


def test_while_it_damps_whoever_waits_for_an_answer_gets_damping(driving):
    driving.stop("Stopped")
    passed = driving.passed
    order = driving.hear(command(), (0.02,))
    assert order.mode is Mode.DAMP and order.session == OURS
    assert driving.passed == passed


def test_the_first_reason_is_kept_and_reset_forgets_it(driving):
    assert driving.stop("first") and not driving.stop("second")
    assert driving.fault == "first" and driving.reset() == "first" and driving.reset() == ""


def test_reset_takes_nothing_from_a_brain_that_drives(driving):
    assert driving.reset() == ""
    assert (driving.state, driving.session) == (DRIVING, OURS)


# -- clocks


@given(st.lists(st.floats(-3600.0, 3600.0), min_size=50, max_size=50))
def test_fault_28_a_simulated_clock_that_jumps_trips_nothing(jumps):
    """Late is what is late by both clocks: the monotonic one goes on as always."""
    driver, simulated = Driver(ROBOT), 100.0
    for step, jump in enumerate(jumps):
        simulated += jump
        now = step * T
        driver.hear(command(), (now, simulated))
        for look in np.arange(now, now + T, driver.watch_period).tolist():
            assert not driver.watch((look, simulated))


def test_fault_28_a_pause_of_the_simulation_trips_nothing_and_going_on_without_a_brain_does():
    driver = Driver(ROBOT)
    driver.hear(command(), (0.0, 5.0))
    assert not any(driver.watch((now, 5.0)) for now in np.arange(0.0, 60.0, 0.1).tolist())
    tripped = [t for t in np.arange(0.0, 0.2, 0.005).tolist() if driver.watch((60.0 + t, 5.0 + t))]
    assert len(tripped) == 1 and 0.06 < tripped[0] < 0.08


def test_a_simulation_as_fast_as_it_can_gives_the_brain_its_time():
    driver = Driver(ROBOT)
    driver.hear(command(), (0.0, 0.0))
    assert not any(driver.watch((0.001 * step, 0.2 * step)) for step in range(60))


# -- one brain


def test_fault_30_another_brain_is_ignored_counted_and_told_and_the_first_goes_on(driver):
    first = driver.hear(command(), (0.0,))
    for now in np.arange(T, 2.0, T).tolist():
        for _ in range(5):
            assert driver.hear(command(THEIRS, position=ROBOT.default_position), (now,)) is None
            assert driver.hear(command(THEIRS, mode=Mode.DAMP), (now,)) is None
        assert driver.trouble((now,)) == f"Another brain commands too; session {OURS} alone is obeyed"
        order = driver.hear(command(), (now,))
        assert order.targets.position.tolist() == first.targets.position.tolist()
        assert watch_until(driver, now, now + T) is None
    assert driver.ignored == 10 * len(np.arange(T, 2.0, T)) and driver.refused == 0
    assert driver.trouble((2.0 + STRANGER_MEMORY,)) == ""


def test_fault_30_a_second_publisher_that_is_silent_is_told(driving):
    driving.publishers = 2
    assert driving.trouble((0.0,)) == f"There are 2 publishers of joint commands; session {OURS} alone is obeyed"
    driving.stop("Stopped")
    driving.reset()
    assert driving.trouble((0.0,)).endswith("the first to command is obeyed")
    driving.publishers = 1
    assert driving.trouble((0.0,)) == ""


def test_a_stranger_does_not_get_in_while_it_damps_but_after_a_reset(driving):
    driving.stop("Stopped")
    assert driving.hear(command(THEIRS), (0.1,)) is None
    driving.reset()
    assert driving.trouble((0.1,)) == ""
    assert driving.hear(command(THEIRS), (0.2,)).session == THEIRS
    assert driving.hear(command(OURS), (0.2,)) is None


# -- what is not believed


def changed(field: str, index: int, value: float) -> dict[str, list[float]]:
    values = list(getattr(command(), field))
    values[index] = value
    return {field: values}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"session": 0}, "must say its session"),
        ({"mode": 3}, r"mode 3; allowed: 0 \(HOLD\), 1 \(RUN\), 2 \(DAMP\)"),
        ({"name": ["waist_yaw"]}, "1 names for 19 joints"),
        (changed("position", 4, ROBOT.upper[4] + 0.011), f"position of .* for '{ROBOT.joint_names[4]}'; allowed"),
        (changed("position", 4, ROBOT.lower[4] - 0.011), f"position of .* for '{ROBOT.joint_names[4]}'; allowed"),
        (changed("stiffness", 2, 2.01 * ROBOT.stiffness[2]), "stiffness of 84.42 .*; allowed: 0 to 84"),
        (changed("damping", 2, 2.01 * ROBOT.damping[2]), "damping of 4.422 .*; allowed: 0 to 4.4"),
        (changed("stiffness", 2, -1.0), "negative gain"),
        (changed("damping", 2, math.nan), "damping that is no finite number"),
        (changed("position", 2, math.inf), "position that is no finite number"),
        ({"position": []}, "0 values of position"),
    ],
)
def test_what_cannot_be_believed_is_not_passed_on_and_told(driver, changes, words):
    for state in (WAITING, DRIVING, DAMPING):
        if state is DRIVING:
            driver.hear(command(), (0.0,))
        elif state is DAMPING:
            driver.stop("Stopped")
        before, refused = driver.order, driver.refused
        assert driver.hear(command(**changes), (0.01,)) is None
        assert driver.order is before and driver.refused == refused + 1
        assert re.search(words, driver.refusal), driver.refusal
        assert driver.state is state


def test_what_is_just_within_the_tolerance_is_believed(driver):
    position = ROBOT.upper + 0.0099
    gains = {"stiffness": 2.0 * ROBOT.stiffness, "damping": 0.0 * ROBOT.damping}
    assert driver.hear(command(position=position, **gains), (0.0,)) is not None


names = st.lists(st.sampled_from([*ROBOT.joint_names, "tail", ""]) | st.text(max_size=5), max_size=25)
own_names = st.permutations(list(ROBOT.joint_names))
numbers = st.lists(st.floats(), max_size=25) | st.lists(st.floats(), min_size=ROBOT.count, max_size=ROBOT.count)
anything = st.builds(
    Message,
    session=st.sampled_from([0, OURS, OURS, OURS, THEIRS]),
    mode=st.integers(0, 255) | st.sampled_from([0, 1, 2]),
    name=names | own_names,
    position=numbers,
    stiffness=numbers,
    damping=numbers,
)


def believable(message: Message) -> bool:
    """Said in another way than the driver's."""
    n = ROBOT.count
    if sorted(message.name) != sorted(ROBOT.joint_names) or message.mode > 2 or message.session == 0:
        return False
    if {len(message.position), len(message.stiffness), len(message.damping)} != {n}:
        return False
    for name, q, k, d in zip(message.name, message.position, message.stiffness, message.damping, strict=True):
        joint = ROBOT.joints[ROBOT.index(name)]
        if not all(map(math.isfinite, (q, k, d))) or k < 0 or d < 0:
            return False
        within = (
            joint.lower - 0.01 <= q <= joint.upper + 0.01 and k <= 2 * joint.stiffness and d <= 2 * joint.damping
        )
        if message.mode != 2 and not within:
            return False
    return True


@settings(max_examples=2000, deadline=None)
@given(anything)
def test_fault_29_malformed_commands_have_no_effect_and_all_are_counted(message):
    driver = Driver(ROBOT)
    driver.hear(command(), (0.0,))
    before = driver.order
    heard = driver.hear(message, (0.01,))
    assert driver.passed + driver.ignored + driver.refused == 2
    assert (heard is not None) == (message.session == OURS and believable(message))
    assert driver.ignored == (message.session == THEIRS)
    if heard is None:
        assert driver.order is before
    targets = driver.order.targets
    assert all(np.isfinite(values).all() for values in (targets.position, targets.stiffness, targets.damping))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_fault_29_nearly_right_commands_are_passed_on_only_if_they_are_right(data):
    message = command(mode=data.draw(st.integers(0, 2)))
    for field in data.draw(st.sets(st.sampled_from(["name", "position", "stiffness", "damping"]), max_size=2)):
        values = list(getattr(message, field))
        index = data.draw(st.integers(0, ROBOT.count - 1))
        values[index] = data.draw(st.sampled_from(ROBOT.joint_names) if field == "name" else st.floats())
        setattr(message, field, values)
    assert (Driver(ROBOT).hear(message, (0.0,)) is not None) == believable(message)


# -- motors that need to know where the joints are


@pytest.fixture
def seeing() -> Driver:
    return Driver(ROBOT, needs_readings=True)


def test_without_readings_no_command_is_taken(seeing):
    assert seeing.hear(command(), (0.0,)) is None and "before sound joint states" in seeing.refusal
    assert seeing.state is WAITING and seeing.session == 0
    seeing.see((0.0,))
    assert seeing.hear(command(), (0.0,)) is not None


def test_readings_that_stop_damp(seeing):
    seeing.see((0.0,))
    for now in np.arange(0.0, 0.2, T).tolist():
        seeing.hear(command(), (now,))
        if watch_until(seeing, now, now + T):
            break
    assert seeing.state is DAMPING and "No sound joint states for 0.0" in seeing.fault and now < 0.09
    assert seeing.blind((0.08,)) and not seeing.blind((0.06,))


def test_readings_that_stop_matter_to_nobody_who_needs_none(driving):
    driving.see((0.0,))
    for now in np.arange(0.0, 1.0, T).tolist():
        driving.hear(command(), (now,))
        assert watch_until(driving, now, now + T) is None
    assert driving.blind((1.0,))


# -- limits


@pytest.mark.parametrize(
    "change",
    [
        *({"timeout": bad} for bad in (0.0, math.nan, math.inf)),
        *({"position_tolerance": bad} for bad in (-1.0, math.nan)),
        *({"gain_factor": bad} for bad in (0.5, math.inf, math.nan)),
    ],
)
def test_impossible_limits_are_refused(change):
    with pytest.raises(JackError):
        DriverLimits(**change)


def test_a_timeout_that_no_brain_could_keep_is_refused():
    with pytest.raises(JackError, match=r"timeout is 0.07 s; 'sample' is commanded every 0.05 s"):
        Driver(replace(ROBOT, control_period=0.05))


def test_a_pulse_that_never_beat_is_not_missed():
    pulse = Pulse(0.1, 0.01)
    assert not any(pulse.missed((float(now),)) for now in range(5))
