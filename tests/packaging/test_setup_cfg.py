"""setup.cfg says twice what the tree says once: here they are compared."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest

from check_floors import FloorError, floors

ROOT = Path(__file__).parents[2]


def _setup_cfg() -> RawConfigParser:
    parser = RawConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def _pins() -> dict[str, str]:
    lines = (ROOT / "packaging" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pins}


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_the_listed_packages_are_those_of_the_tree() -> None:
    options = _setup_cfg()["options"]
    listed = options["packages"].split()
    assert listed == sorted(listed)
    found = []
    for line in options["package_dir"].strip().splitlines():
        package, _, folder = line.partition(" = ")
        root = ROOT / folder
        found += [
            ".".join((package, *file.parent.relative_to(root).parts))
            for file in root.rglob("__init__.py")
        ]
    assert listed == sorted(found)


def test_each_dependency_has_a_lower_bound_and_a_pin_above_it() -> None:
    pins = _pins()
    for name, floor in floors(ROOT / "setup.cfg", ("cpu", "gpu", "dev", "pictures")).items():
        assert _number(floor) <= _number(pins[name]), name


@pytest.mark.parametrize("requirement", ["numpy", "numpy<3", "numpy==1.26", "numpy~=1.26"])
def test_a_dependency_without_a_lower_bound_is_refused(tmp_path: Path, requirement: str) -> None:
    setup_cfg = tmp_path / "setup.cfg"
    setup_cfg.write_text(f"[options]\ninstall_requires =\n    av>=14.0\n    {requirement}\n")
    with pytest.raises(FloorError, match="should read like"):
        floors(setup_cfg, ())


def test_floors_are_read_past_comments_and_upper_bounds(tmp_path: Path) -> None:
    setup_cfg = tmp_path / "setup.cfg"
    setup_cfg.write_text(
        "[options]\ninstall_requires =\n    av>=14.0\n    # why\n    numpy>=1.26.4,<3\n"
        "[options.extras_require]\ncpu =\n    onnxruntime>=1.20.1\n"
    )
    assert floors(setup_cfg, ("cpu",)) == {
        "av": "14.0",
        "numpy": "1.26.4",
        "onnxruntime": "1.20.1",
    }
