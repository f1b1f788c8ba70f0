"""``python -m elir_edge``."""

from elir_edge.cli import main

main()
