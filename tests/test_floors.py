"""The import floors of setup.cfg know every room: a new one cannot be forgotten there."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_COMPUTE = {"models", "vision"}
"""The rooms in which the heavy libraries are imported."""


@pytest.fixture(scope="module")
def contracts() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def rooms() -> set[str]:
    folder = ROOT / "daemon" / "posewatch"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")}


def test_every_room_is_on_one_floor(contracts: configparser.ConfigParser, rooms: set[str]) -> None:
    floors = re.findall(r"posewatch\.(\w+)", contracts["importlinter:contract:floors"]["layers"])
    assert sorted(floors) == sorted(rooms)


def test_every_room_but_two_does_without_the_heavy_libraries(
    contracts: configparser.ConfigParser, rooms: set[str]
) -> None:
    told = contracts["importlinter:contract:rooms"]["source_modules"]
    assert set(re.findall(r"posewatch\.(\w+)", told)) == rooms - MAY_COMPUTE
