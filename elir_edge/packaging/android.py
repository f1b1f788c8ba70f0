"""The Kotlin package: an Android library module."""
from elir_edge.packaging.facts import Facts
def kotlin_files(facts: Facts, embed: bool) -> dict[str, bytes]:
    return {}
