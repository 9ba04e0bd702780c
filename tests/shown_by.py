"""Documents whose named sentences are each shown by tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TESTS = Path(__file__).parent

ShownBy = dict[str, list[str]]
"""For each sentence's name the tests that show it: `room/test_file.py::test_name`, or with the
name of a class in between."""


def check(document: str, shown_by: Mapping[str, list[str]]) -> None:
    """Every sentence is shown by tests, and every test shows a sentence."""
    text = (TESTS.parent / "docs" / document).read_text(encoding="utf-8")
    named = re.findall(r"^\* \*\*([A-Z]\d+)\*\* ", text, re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) == shown_by.keys()
    assert all(shown_by.values())


def paths(shown_by: Mapping[str, list[str]]) -> list[str]:
    """The files that the tests are in."""
    return sorted({test.partition("::")[0] for tests in shown_by.values() for test in tests})


def check_there(path: str, shown_by: Mapping[str, list[str]]) -> None:
    """All tests that are named of one file exist."""
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    named = [test.partition("::") for tests in shown_by.values() for test in tests]
    assert {name for file, _, name in named if file == path} <= set(_functions(tree.body))


def _functions(body: Iterable[ast.stmt], prefix: str = "") -> Iterable[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{node.name}::")
