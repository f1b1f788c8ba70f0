"""Functions that test_child calls in child processes. Imports little, so that a child starts fast."""

from __future__ import annotations

import os
import sys
import time

import elir_edge
from elir_edge import errors
from elir_edge.errors import MissingInputError


def echo(request):
    os.write(1, b"chatter on stdout\n")
    os.write(2, b"chatter on stderr\n")
    return request | {"module": __name__, "folder": sys.path[0]}


def fail(request):
    if request["kind"] == "other":
        raise ZeroDivisionError("by nothing")
    raise getattr(errors, request["kind"])("a.onnx: no good", "do this")


def die(request):
    os.write(2, b"last words\n")
    if "signal" in request:
        os.kill(os.getpid(), request["signal"])
    os._exit(request["status"])


def sleep(request):
    time.sleep(60)


def take(request):
    return {"bytes": len(bytearray(request["bytes"]))}


def converse(request):
    total = [request["start"]]

    def answer(question):
        if "add" not in question:
            raise MissingInputError("nothing to add", "give add")
        total[0] += question["add"]
        return {"total": total[0]}

    return {"hello": True}, answer


def where_the_package_is(request):
    import numpy

    return {"file": elir_edge.__file__, "numpy": numpy.__file__}
