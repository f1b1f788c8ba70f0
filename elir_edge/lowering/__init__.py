"""Exact rewrites from the reference model to the static graph that is exported.

One rewrite a file: what it needs, what it guarantees; ``pipeline`` holds their order.
"""
