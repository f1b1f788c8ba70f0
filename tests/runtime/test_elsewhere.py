"""The modules that run artifacts import without the modules and names that only POSIX or Linux has."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.helpers import child_environment

MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix_ipc")
OF_OS = (
    "getuid", "geteuid", "getgid", "getegid", "getgroups", "getpgid", "getpgrp", "setsid", "setuid", "killpg", "nice",
    "fork", "forkpty", "posix_spawn", "wait", "wait3", "wait4", "waitid", "uname", "sysconf", "confstr", "getloadavg",
    "pread", "preadv", "pwrite", "pwritev", "sendfile", "mkfifo", "mknod", "chown", "lchown", "fchown",
    "chroot", "statvfs", "fstatvfs", "sync", "fdatasync", "memfd_create", "sched_getaffinity", "sched_setaffinity",
    "O_NOFOLLOW", "O_DIRECTORY", "O_SYNC", "O_NOCTTY", "EX_OK", "EX_DATAERR", "WNOHANG",
)  # fmt: skip
OF_SIGNAL = (
    "SIGSTOP", "SIGCONT", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGALRM", "SIGQUIT",
    "alarm", "setitimer", "pause", "pthread_sigmask", "sigwait",
)  # fmt: skip
# Python's own modules and installed ones know at import which system they are on, so they are loaded before.
PREPARE = f"""
import os, signal, sys
import asyncio, ctypes, json, logging, multiprocessing, random, selectors, shutil, subprocess, tempfile, threading, uuid
import zipfile, platform
import click, filelock, numpy, PIL.Image, platformdirs, rich.console, rich.progress, yaml
platform.uname()
for name in {MODULES!r}:
    sys.modules[name] = None
for module, names in ((os, {OF_OS!r}), (signal, {OF_SIGNAL!r})):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""
WANTED = (
    "elir_edge.runtime.session",
    "elir_edge.runtime.restore",
    "elir_edge.runtime.probe",
    "elir_edge.packaging.package",
    "elir_edge.validation.verify",
    "elir_edge.core.publish",
    "elir_edge.core.commit",
    "elir_edge.core.cache",
    "elir_edge.core.child",
    "elir_edge.core.child_side",
    "elir_edge.core.download",
    "elir_edge.cli.restore",
    "elir_edge.cli.verify",
    "elir_edge.cli.inspect",
    "elir_edge.cli.package",
)
COMMANDS = ("restore", "verify", "inspect", "package")
IMPORT = f"""
import importlib
for name in {WANTED!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{{name}}: {{error!r}}")
"""
HELP = f"""
from elir_edge.cli import run
sys.exit(max(run([name, "--help"]) for name in {COMMANDS!r}))
"""
WORK = """
from pathlib import Path
import elir_edge.core.lock
from elir_edge.core.cache import cache_folder
from elir_edge.core.commit import recover
from elir_edge.core.native import captured_output
from elir_edge.core.publish import check_place, publish, scratch_folder, staging, write_file, write_in
place = Path(sys.argv[1])
cache_folder("blobs")
os.environ["ELIR_EDGE_CACHE"] = str(place / "a file" / "below")
(place / "a file").write_bytes(b"")
cache_folder("blobs")
check_place(place / "a.xml")
write_file(place / "a.png", b"old")
write_file(place / "a.png", b"new")
for content in (b"old", b"new"):
    with staging(place / "a.xml") as staged, scratch_folder(staged):
        publish(place / "a.xml", [write_in(staged, name, content) for name in ("a.xml", "a.bin")])
recover(place / "a.xml")
with captured_output() as said:
    os.write(1, b"native ")
    assert said() == "native "
    os.write(2, b"words")
    assert said() == "native words"
"""


def run_elsewhere(code: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "ignore", "-c", PREPARE + code, *arguments]
    return subprocess.run(command, env=child_environment(), capture_output=True, text=True)


def test_modules_import_there():
    done = run_elsewhere(IMPORT)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_commands_show_their_help_there():
    done = run_elsewhere(HELP)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"elir-edge (\w+) \[OPTIONS\]", done.stdout) == list(COMMANDS)


def test_files_are_published_there_too(tmp_path):
    done = run_elsewhere(WORK, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a file": b"", "a.png": b"new", "a.xml": b"new", "a.bin": b"new",
    }  # fmt: skip
