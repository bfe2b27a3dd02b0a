import numpy as np
import pytest

from jack_brain.latency import RING, TickTimes

T = 0.02


def test_median_and_maximum_of_the_last_second():
    times = TickTimes(0.25)
    assert times.median_and_max() == (0.0, 0.0)
    for index, seconds in enumerate((9.0, 1.0, 2.0, 3.0, 4.0)):  # four fit
        times.add(seconds, 0.25 * index)
    assert times.median_and_max() == (2.5, 4.0)


def test_every_tick_is_in_one_bin_of_each_histogram():
    times, now = TickTimes(T), 1.0
    for latency, gap in [(0.0005, T), (0.0015, 1.01 * T), (0.03, 1.01 * T), (2.0, 2.6 * T), (0.0, 60 * T)]:
        now += gap
        times.add(latency, now)
    seen = times.punctuality()
    edges = times.edges
    assert edges[0] == 0.0 and (np.diff(edges) > 0).all() and len(seen.latency) == len(edges)
    assert (seen.latency.sum(), seen.interval.sum()) == (5, 4)  # the first has none before it
    assert seen.latency[0] == 2 and seen.latency[1] == 1  # below 1 ms, below 2 ms
    assert seen.latency[np.searchsorted(edges, 0.03, side="right") - 1] == 1
    assert seen.latency[-1] == 1 and seen.interval[-1] == 1  # beyond 50 periods
    assert seen.interval[20] == 2  # from 1 to 1.05 periods
    assert (seen.p50, seen.longest) == (0.0015, 2.0)
    again = times.punctuality()
    assert np.array_equal(again.latency, seen.latency) and times.count == 5


@pytest.mark.parametrize("look_every", [1, 7, RING - 1, 3 * RING])
def test_nothing_is_lost_or_counted_twice_however_often_one_looks(look_every):
    times, rng = TickTimes(T), np.random.default_rng(0)
    latencies = rng.uniform(0.0, 0.05, 2 * RING + 100)
    for index, latency in enumerate(latencies, start=1):
        times.add(float(latency), index * T)
        if index % look_every == 0 and index < 5000:
            times.punctuality()
    seen = times.punctuality()
    expected = np.bincount(np.searchsorted(times.edges, latencies, side="right") - 1, minlength=len(times.edges))
    assert np.array_equal(seen.latency, expected)
    newest = np.percentile(latencies[-RING:], (50, 99, 99.9, 100))
    np.testing.assert_allclose((seen.p50, seen.p99, seen.p999, seen.longest), newest)


def test_after_a_rest_the_first_interval_is_none():
    times = TickTimes(T)
    times.add(0.001, 1.0)
    times.rest()
    times.add(0.001, 99.0)
    assert times.punctuality().interval.sum() == 0


def test_adding_makes_no_arrays():
    import tracemalloc

    times = TickTimes(T)
    times.add(0.001, 0.0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for k in range(1, 500):
        times.add(0.001, k * T)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 500
