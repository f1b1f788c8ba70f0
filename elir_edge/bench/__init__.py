"""Timing artifacts: each in a process of its own, taking turns, raw samples kept."""
