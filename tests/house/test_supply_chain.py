"""What comes from elsewhere: pinned by version and by content, and audited by a command that says what it could not."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AUDIT = ROOT / ".ci" / "audit.py"
MAKEFILE = (ROOT / "Makefile").read_text()


def pins(text: str) -> dict[str, str]:
    """Version by normalised name."""
    found = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.M)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_every_pin_is_in_the_lock_with_hashes():
    lock = (ROOT / ".ci" / "hashes.txt").read_text()
    unlocked = re.search(r"^UNLOCKED := (.+)$", MAKEFILE, re.M)[1].split()
    wanted = pins((ROOT / ".ci" / "constraints.txt").read_text())
    assert pins(lock) == {name: version for name, version in wanted.items() if name not in unlocked}
    blocks = re.split(r"^(?=\w)", lock, flags=re.M)[1:]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", block) for block in blocks)
    assert "://" not in lock, "a lock names no host"


def test_the_lock_and_the_audit_are_targets():
    assert "--require-hashes --requirement .ci/hashes.txt" in MAKEFILE
    assert re.search(r"^audit:.*\n(\t.*\n)*\t\$\(BIN\)/python \.ci/audit\.py$", MAKEFILE, re.M)


PACKAGE = {"name": "a", "version": "1", "vulns": []}
FLAW = {"id": "PYSEC-1", "fix_versions": ["2"]}
ANSWERS = {
    "nothing known": ([PACKAGE], 0, "1 of 1 packages audited, 0 known"),
    "a known one": ([PACKAGE | {"vulns": [FLAW]}], 1, "a 1: PYSEC-1, mended in 2"),
    "one that was not judged": ([PACKAGE, {"name": "b", "skip_reason": "not found"}], 69, "not audited: b"),
}


@pytest.mark.parametrize("line", ANSWERS)
def test_the_audit_says_what_it_found(line, capsys):
    packages, code, words = ANSWERS[line]
    assert runpy.run_path(str(AUDIT))["tell"](packages) == code
    said = capsys.readouterr()
    assert words in said.out + said.err


@pytest.mark.parametrize("answer", ["", json.dumps({"dependencies": [{"name": "b", "skip_reason": "no network"}]})])
def test_an_audit_without_its_service_is_no_success(answer, tmp_path):
    """A pip-audit of ours in the place of the real one, which needs a network."""
    (tmp_path / "pip_audit.py").write_text(f"import sys\nprint({answer!r})\nsys.stderr.write('unreachable')\n")
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, str(AUDIT)], env=environment, capture_output=True, text=True)
    assert done.returncode == 69 and "\n  -> " in done.stderr, done.stderr
