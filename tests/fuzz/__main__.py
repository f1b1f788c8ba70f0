"""``python -m tests.fuzz TARGET --runs N``: damaged files into one reader, or into ``all`` of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.campaign import run_campaign, save, table
from tests.fuzz.readers import READERS


def main() -> int:
    """Print a table; 1 where a reader did anything but read, refuse by name, or die in its child."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*READERS, "all"])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="Number of the first run, to repeat one.")
    parser.add_argument("-o", "--out", type=Path, help="Write the table here too.")
    given = parser.parse_args()
    targets = list(READERS) if given.target == "all" else [given.target]
    found = [run_campaign(target, given.runs, given.seed, given.first) for target in targets]
    sys.stdout.write(table(found))
    faults = [fault for item in found for fault in item.faults]
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    if given.out:
        save(found, given.out)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
