"""`./jack test`: the same checks that hooks and CI run, all of them even when one fails.

    ./jack test                     formatting, lint, types, every test but the soaks
    ./jack test --soak              the soaks too
    ./jack test --checks            formatting, lint and types only (what the commit hook runs)
    ./jack test src/jack_brain -x   only what pytest is told to run

The last line counts everything: "N passed, N failed, N skipped", the three checks included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKS = {
    "formatting": ["ruff", "format", "--check"],
    "lint": ["ruff", "check"],
    "types": ["pyright"],
}
#: No single test may take longer [s]; with the soaks, one of which is an hour.
TEST_TIMEOUT, SOAK_TIMEOUT = 300, 2 * 3600
#: Nor a check, nor all tests [s]: who waits for ever is told nothing.
CHECK_LIMIT, TESTS_LIMIT, SOAKS_LIMIT = 900, 75 * 60, 12 * 3600
#: Workers that all tests are shared out to; `conftest.py` says how.
WORKERS = min(2, len(os.sched_getaffinity(0)))


def run_check(name: str, command: list[str]) -> bool:
    """Run one check, print its output if it fails; returns whether it passed."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CHECK_LIMIT,
        )
        good, said = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired:
        good, said = False, f"{' '.join(command)} was stopped after {CHECK_LIMIT} s."
    if not good:
        print(said)
    print(f"{name}: {'ok' if good else 'FAILED'} ({time.monotonic() - began:.0f} s)", flush=True)
    return good


def count(report: Path) -> Counter[str]:
    """Count pytest's results from the JUnit report that it wrote (our own file, so no hostile XML)."""
    suites = ElementTree.parse(report).getroot().iter("testsuite")  # noqa: S314
    total: Counter[str] = Counter()
    for suite in suites:
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        total += Counter(passed=int(suite.get("tests", 0)) - failed - skipped, failed=failed, skipped=skipped)
    return total


def run_tests(arguments: list[str], soak: bool) -> tuple[int, Counter[str]]:
    """Run pytest; returns its exit code and its counts, a run that broke off counting as one failure."""
    report = ROOT / ".jack" / "tests.xml"
    report.unlink(missing_ok=True)
    chosen, limit, all_of_them = (
        ([], SOAK_TIMEOUT, SOAKS_LIMIT) if soak else (["-m", "not soak"], TEST_TIMEOUT, TESTS_LIMIT)
    )
    shared = [] if arguments or soak else [f"--numprocesses={WORKERS}"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        f"--timeout={limit}",
        # A test that waits inside a library doesn't notice its timeout: say where every thread is, and end.
        f"--override-ini=faulthandler_timeout={limit + 60}",
        "--override-ini=faulthandler_exit_on_timeout=true",
        f"--junit-xml={report}",
        *shared,
        *chosen,
        *arguments,
    ]
    try:
        # A relative path among the arguments is meant from where the person stands.
        code = subprocess.run(command, cwd=None if arguments else ROOT, timeout=all_of_them).returncode
    except subprocess.TimeoutExpired:
        print(f"The tests were stopped after {all_of_them / 60:.0f} minutes.", flush=True)
        code = 1
    counts = count(report) if report.exists() else Counter()
    if code != 0 and not counts["failed"]:
        counts["failed"] += 1
    return code, counts


def main() -> int:
    """Run what was asked for; returns 0 where nothing failed."""
    parser = argparse.ArgumentParser(prog="./jack test", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--soak", action="store_true", help="run the long tests too (also JACK_SOAK=1)")
    parser.add_argument("--checks", action="store_true", help="formatting, lint and types only")
    options, arguments = parser.parse_known_args()
    os.environ["JACK_SOAK"] = "1" if options.soak else os.environ.get("JACK_SOAK", "0")
    results = [run_check(name, command) for name, command in CHECKS.items()] if not arguments else []
    code, counts = (0, Counter()) if options.checks else run_tests(arguments, os.environ["JACK_SOAK"] == "1")
    passed, failed = counts["passed"] + results.count(True), counts["failed"] + results.count(False)
    print(f"{passed} passed, {failed} failed, {counts['skipped']} skipped")
    return 0 if code == 0 and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
