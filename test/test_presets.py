"""What the figures about the sizes of the brain are made of."""

from pathlib import Path

import pytest

from jack_brain.network.presets import PRESETS
from jack_contract.contract import default_contract

pytestmark = pytest.mark.timed


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Benchmarks are scripts: they find each other in their own folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))


def test_quantiles_and_rate_by_hand():
    from presets import Times

    clock = iter([0.0, 0.001, 1.0, 1.001, 2.0, 2.004, 3.0, 3.002])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("presets.time.perf_counter", lambda: next(clock))
        times = Times.of(lambda number: None, 4)
    assert times.p50 == pytest.approx(1.5)
    assert times.rate == pytest.approx(4 / 0.008)


def test_a_size_is_measured_with_and_without_what_it_sees():
    from presets import cost

    found = cost("nano", default_contract(), 40)
    assert set(PRESETS) >= {"nano", "small", "base"}
    assert 0 < found.walking_parameters < found.parameters
    for times in (found.walking, found.following, found.looking):
        assert 0 < times.p50 <= times.p99 and times.rate > 0
    assert found.looking.p50 > found.walking.p50
