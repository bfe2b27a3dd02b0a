"""The table of faults: every row has its tests, and the page says what they found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fault_table

RESULTS = """<testsuites><testsuite>
<testcase name="test_fault_04_joint_states_stop[20 ms]"/>
<testcase name="test_fault_04_joint_states_stop[5 ms]"><failure message="late"/></testcase>
<testcase name="test_fault_06_he_stands"><skipped message="no camera"/></testcase>
<testcase name="test_fault_06_cmd_vel_stops"/>
<testcase name="test_something_else"><failure/></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize("row", sorted(fault_table.ROWS))
def test_every_row_has_a_test(row):
    assert row in {test.row for test in fault_table.written()}


def test_no_test_claims_a_row_that_is_not_there():
    assert {test.row for test in fault_table.written()} <= set(fault_table.ROWS)


def test_one_bad_case_makes_a_bad_row(tmp_path):
    results = tmp_path / "tests.xml"
    results.write_text(RESULTS)
    assert fault_table.outcomes(results) == {
        (4, "joint states stop"): "failed",
        (6, "he stands"): "skipped",
        (6, "cmd vel stops"): "passed",
    }


def test_the_page_says_what_was_found_and_what_was_not_run():
    tests = [
        fault_table.FaultTest(4, "joint states stop", "test/test_x"),
        fault_table.FaultTest(34, "a day", "test/test_x", soak=True),
    ]
    lines = fault_table.page(tests, {(4, "joint states stop"): "passed"}).splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    assert rows["4"].endswith("| joint states stop: **passed** |")
    assert rows["34"].endswith("| a day (soak): **not run** |")
    assert rows["5"].endswith("| **nothing** |")


def test_of_several_reports_a_later_one_counts_for_what_it_has(tmp_path, monkeypatch, capsys):
    first, second = tmp_path / "first.xml", tmp_path / "second.xml"
    first.write_text(RESULTS)
    second.write_text(RESULTS.replace('<failure message="late"/>', ""))
    monkeypatch.setattr(fault_table, "PAGE", tmp_path / "faults.md")
    written = [fault_table.FaultTest(4, "joint states stop", "test/test_x")]
    monkeypatch.setattr(fault_table, "written", lambda: written)
    fault_table.main((first, tmp_path / "none.xml"))
    assert "no results in" in capsys.readouterr().err and not fault_table.PAGE.exists()
    fault_table.main((first,))
    assert "joint states stop: **failed**" in fault_table.PAGE.read_text()
    fault_table.main((first, second))
    assert "joint states stop: **passed**" in fault_table.PAGE.read_text()
