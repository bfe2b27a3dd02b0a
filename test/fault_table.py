"""What must be survived, row by row, and which tests show it. Makes docs/faults.md from what a test run found.

    ./jack test [--soak] && python test/fault_table.py
    python test/fault_table.py FIRST.xml SECOND.xml     reports that were kept: a later one counts for what it has

A test of a row has the number of the row in its name: `test_fault_07_...`. Figures are never written here, they are
in the tests.
"""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from tyro.conf import Positional

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / ".jack" / "tests.xml", ROOT / "docs" / "faults.md"

#: Row: what happens, and what must follow. T is one control period.
ROWS: dict[int, tuple[str, str]] = {
    1: ("NaN and infinity in any reading of joints and IMU", "no such command ever; damped within 1 T"),
    2: ("a policy that says NaN, infinity or a million", "the same"),
    3: ("random actions without end", "no limit of position, speed, torque or step is passed"),
    4: ("joint states or IMU stop", "damped within 3 T, or 50 ms where that is longer"),
    5: ("readings go on, but their stamps or values are frozen", "the same"),
    6: ("cmd_vel stops", "he stands within 0.5 s"),
    7: ("the camera is gone for 5 s", "no picture older than 200 ms counts as current; he walks on"),
    8: ("the brain is killed while he moves", "the driver damps him within 100 ms"),
    9: ("more load than the machine has cores", "late ticks are counted and published; 5 in a row damp"),
    10: ("he tilts by more than 1 rad", "damped within 1 T"),
    11: ("a fault clears", "nothing resumes by itself"),
    12: ("activation, or another policy", "the first target is where the joints are; then a blend"),
    13: ("stop, in every state", "damped within 1 T"),
    14: ("a thousand policies while he is driven", "no gap over 2 T; memory stays flat"),
    15: (
        "a policy for another contract, in twenty ways",
        "refused, the difference is named; the old one drives on",
    ),
    16: ("policy files cut short or with flipped bits", "all refused"),
    17: ("a file with external data, custom operators, or too large", "refused, off the control thread"),
    18: ("golden vectors that do not come out, or a policy too slow", "refused"),
    19: ("a malicious pickle in a checkpoint's place", "nothing of it is run"),
    20: ("the trainer is killed while it writes a checkpoint", "the training resumes"),
    21: ("a training in two halves", "bit for bit the same as in one"),
    22: ("a loss that is no number", "nothing is published; what led to it is kept"),
    23: ("the disk is full while a checkpoint is written", "the one before loads; the error says so"),
    24: ("a bag that is torn, anywhere", "everything before the tear is read"),
    25: ("the recorder is killed", "at most a second is lost"),
    26: ("the disk is full while recording", "the recording ends in order; control goes on"),
    27: ("more messages than the recorder can write", "what is dropped is counted"),
    28: ("the wall clock jumps by an hour; simulated time starts anew", "nothing trips; nothing hangs"),
    29: ("malformed messages, wrong names and lengths", "no command is made of them; they are counted"),
    30: ("a second publisher of joint commands", "an error within 1 s; the driver obeys the first"),
    31: ("parameters that are no numbers, negative, far too large", "refused with the reason"),
    32: ("nodes are killed, again and again", "shared memory stays bounded; found again within 3 s"),
    33: ("somebody scans the ports", "nothing listens but DDS"),
    34: ("a day of simulated time", "memory, descriptors and threads stay flat"),
}
_NAME = re.compile(r"test_fault_(\d\d)_(\w+)")


@dataclass(frozen=True)
class FaultTest:
    """A test of a row."""

    row: int
    #: what it shows, as its name says it
    words: str
    #: file from the root, without ending
    file: str
    #: passed, failed or skipped; empty: not run
    outcome: str = ""
    #: it is a soak, run when asked for
    soak: bool = False


def written(root: Path = ROOT) -> Iterator[FaultTest]:
    """Every test of a row that there is in the source."""
    for path in sorted((*root.glob("src/*/test/test_*.py"), *root.glob("test/test_*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (found := _NAME.fullmatch(node.name)):
                # One that is a soak only with some of its parameters also runs in a shorter form.
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                file = path.relative_to(root).with_suffix("").as_posix()
                yield FaultTest(int(found[1]), _words(found[2]), file, soak="pytest.mark.soak" in marks)


def outcomes(results: Path) -> dict[tuple[int, str], str]:
    """The worst outcome of each test of a row, by row and words, from a JUnit report of our own."""
    rank, worst = ("passed", "skipped", "failed"), dict[tuple[int, str], str]()
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        found = _NAME.match(case.get("name", ""))
        if not found:
            continue
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        key = int(found[1]), _words(found[2])
        worst[key] = max(outcome, worst.get(key, "passed"), key=rank.index)
    return worst


def page(tests: Iterable[FaultTest], found: dict[tuple[int, str], str]) -> str:
    """The page, Markdown."""
    rows = defaultdict[int, list[str]](list)
    for test in tests:
        outcome = found.get((test.row, test.words), "not run")
        rows[test.row].append(f"{test.words}{' (soak)' if test.soak else ''}: **{outcome}**")
    lines = [
        "# What he survives",
        "",
        "Written by `python test/fault_table.py` from the results of `./jack test`; not by hand. T is one control",
        "period; what is said of a test is its name.",
        "",
        "| # | what happens | what must follow | shown by |",
        "|---|---|---|---|",
    ]
    for number, (happens, follows) in ROWS.items():
        shown = "<br>".join(rows[number]) or "**nothing**"
        lines.append(f"| {number} | {happens} | {follows} | {shown} |")
    return "\n".join(lines) + "\n"


def _words(name: str) -> str:
    return name.replace("_", " ")


def main(reports: Positional[tuple[Path, ...]] = (RESULTS,)) -> int:
    """Write the page from JUnit reports; returns 1 where there are none, or a row has nothing to show."""
    if missing_reports := [str(report) for report in reports if not report.is_file()]:
        print(f"There are no results in {', '.join(missing_reports)}: run ./jack test first.", file=sys.stderr)
        return 1
    tests, found = list(written()), dict[tuple[int, str], str]()
    for report in reports:
        found |= outcomes(report)
    PAGE.write_text(page(tests, found), encoding="utf-8")
    missing = sorted(set(ROWS) - {test.row for test in tests})
    print(f"written to {PAGE}" + (f"; nothing shows {missing}" if missing else ""))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
