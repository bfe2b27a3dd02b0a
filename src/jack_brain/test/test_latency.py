from jack_brain.latency import LatencyWindow


def test_median_and_maximum_of_the_last_second():
    window = LatencyWindow(0.25)
    assert window.median_and_max() == (0.0, 0.0)
    for seconds in (9.0, 1.0, 2.0, 3.0, 4.0):  # four fit
        window.add(seconds)
    assert window.median_and_max() == (2.5, 4.0)
