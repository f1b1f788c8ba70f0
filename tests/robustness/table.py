"""What is tried, and what holds it: ``python -m tests.robustness.table [--run]`` prints a row a test.

The lines are the names of the parametrised cases; ``--run`` runs them and adds how many passed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
MOST_NAMES = 400  # letters of a row


@dataclass
class Row:
    """A test: names of its cases, and how many of them passed or were skipped."""

    cases: list[str] = field(default_factory=list)
    passed: int = 0
    skipped: int = 0


class Gatherer:
    """A plugin of pytest that fills ``rows``, by the name of the test."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = defaultdict(Row)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note every case."""
        for item in items:
            name, _, case = item.nodeid.partition("[")
            self.rows[name.removeprefix("tests/robustness/")].cases.append(case.removesuffix("]"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what passed."""
        row = self.rows[report.nodeid.partition("[")[0].removeprefix("tests/robustness/")]
        row.passed += report.when == "call" and report.passed
        row.skipped += report.skipped


def gather_rows(run: bool, words: list[str]) -> dict[str, Row]:
    """A row a test, after they ran if ``run``. ``words``: more arguments of pytest."""
    gatherer = Gatherer()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(
            [*([] if run else ["--collect-only"]), "-q", "-p", "no:cacheprovider", *words, str(FOLDER)],
            plugins=[gatherer],
        )
    return gatherer.rows


def table(rows: dict[str, Row], run: bool) -> str:
    """Markdown."""
    heads = ["lines", "held by", "cases", *(["passed", "skipped"] if run else [])]
    lines = [heads, ["---"] * len(heads)]
    for name, row in rows.items():
        names = "; ".join(case for case in row.cases if case) or name.partition("::test_")[2].replace("_", " ")
        shown = names if len(names) <= MOST_NAMES else names[:MOST_NAMES].rpartition(";")[0] + "; ..."
        figures = [len(row.cases), *([row.passed, row.skipped] if run else [])]
        lines.append([shown.replace("|", "/"), f"`{name}`", *map(str, figures)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> int:
    """Print the table; 1 where a case neither passed nor was skipped."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.table", description=__doc__)
    parser.add_argument("--run", action="store_true", help="Run the tests too.")
    given, words = parser.parse_known_args()
    rows = gather_rows(given.run, words)
    sys.stdout.write(table(rows, given.run))
    done = sum(row.passed + row.skipped for row in rows.values())
    total = sum(len(row.cases) for row in rows.values())
    sys.stdout.write(f"\n{len(rows)} tests, {total} cases" + (f", {done} passed or skipped\n" if given.run else "\n"))
    return int(given.run and done != total)


if __name__ == "__main__":
    sys.exit(main())
