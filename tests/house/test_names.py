"""Names of functions: a noun for what is returned, or a verb for what is done; no past participle alone."""

import ast
import re

from tests.house.test_architecture import sources

# Irregular participles that are neither the verb itself (read, run, set, put, cut, split) nor a noun (bound, ground).
IRREGULAR = """
begun bent bought broken brought built chosen done drawn driven fallen felt found given gone grown held hidden hung kept
known laid left lent lost made meant met paid proven ridden seen sent shaken shown shrunk sold sought spent spoken stood
struck stuck swept taken taught thought told torn understood woken won worn woven written
"""
ENDS_LIKE_ONE = frozenset({"embed", "exceed", "feed", "need", "proceed", "seed", "speed"})
# "left_to_the_cpu" and "made_at" say as little of what is returned as "left" and "made" do.
WITHOUT_NOUN = frozenset({"as", "at", "by", "for", "from", "in", "of", "on", "out", "to", "with"})
STAGES = {"elir_edge/families/restorer.py:restored"}  # the stage of that name


def is_participle(word: str) -> bool:
    return word in IRREGULAR.split() or (re.fullmatch(r".{2,}ed", word) is not None and word not in ENDS_LIKE_ONE)


def is_nameless(name: str) -> bool:
    """Whether ``name`` is a participle without the noun that it would describe."""
    first, *rest = name.strip("_").split("_")
    return is_participle(first) and (not rest or rest[0] in WITHOUT_NOUN)


def says_yes_or_no(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """``if artifact.trained`` reads well: an adjective is the name of a property that is true or false."""
    decorators = {ast.unparse(item) for item in node.decorator_list}
    return bool(decorators & {"property", "functools.cached_property"}) and getattr(node.returns, "id", "") == "bool"


def functions(tree: ast.Module):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_are_called_by_what_they_return_or_do():
    found = {
        f"{path}:{node.name}"
        for path, _, tree in sources()
        for node in functions(tree)
        if is_nameless(node.name) and not says_yes_or_no(node)
    }
    assert sorted(found - STAGES) == []


def test_the_check_knows_participles_from_nouns_and_verbs():
    for name in ("judged", "_prepared", "written", "made_at", "_left_to_the_cpu", "expected_of", "locked"):
        assert is_nameless(name), name
    for name in ("embed", "_speed_body", "read_file", "held_bytes", "trained_parts", "is_cached", "set_outputs"):
        assert not is_nameless(name), name
    for text, adjective in (
        ("@property\ndef passed(self) -> bool: ...", True),
        ("@property\ndef passed(self) -> int: ...", False),
        ("def passed(self) -> bool: ...", False),
    ):
        (node,) = functions(ast.parse(text))
        assert says_yes_or_no(node) is adjective
