"""Known vulnerabilities of the versions in .ci/constraints.txt, as pip-audit finds them.

0: none. 1: some, each printed. 69: the service was not reached, so nothing is known about some or all packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).with_name("constraints.txt")
AUDIT = (sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json", "--requirement")
UNREACHED = 69


def main() -> int:
    """Run pip-audit, print what it found, and return the exit status."""
    done = subprocess.run([*AUDIT, str(PINS)], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        sys.stderr.write(f"nothing was audited: {reason}\n  -> a network with PyPI's service of vulnerabilities\n")
        return UNREACHED
    return tell(packages)


def tell(packages: list[dict]) -> int:
    """Print a line a vulnerability, and how many ``packages`` were judged; returns the exit status."""
    skipped = [item["name"] for item in packages if "skip_reason" in item]
    judged = len(packages) - len(skipped)
    found = [(item, flaw) for item in packages for flaw in item.get("vulns", ())]
    for item, flaw in found:
        mended = ", ".join(flaw.get("fix_versions", ())) or "no version"
        sys.stdout.write(f"{item['name']} {item['version']}: {flaw['id']}, mended in {mended}\n")
    sys.stdout.write(f"{judged} of {len(packages)} packages audited, {len(found)} known vulnerabilities\n")
    if found:
        return 1
    if skipped:
        sys.stderr.write(f"not audited: {', '.join(skipped)}\n  -> its service has to be reachable\n")
        return UNREACHED
    return 0


if __name__ == "__main__":
    sys.exit(main())
