"""Tests of elir-edge."""

import os

# Before anything imports torch. Threads of two processes that share two cores wait for each other: a tiny model takes
# 1.2 s instead of 0.04 s.
os.environ.setdefault("OMP_NUM_THREADS", "1")
