"""Exact rewrites from the reference model to the static graph that is exported."""
