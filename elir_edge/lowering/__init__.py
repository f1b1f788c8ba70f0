"""From the reference model to the static graph that is exported, by exact rewrites.

Each rewrite is a file of a family or of ``families/rewrites``; the family holds their order.
"""
