"""What can be said of the Debian package without building it; `make test-system` tries it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

import man_page
from build_deb import HERE, ROOT, gpu_requirements
from posewatch.cli.main import app

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_man_page_tells_each_command(command: str) -> None:
    assert f"posewatch {command} " in man_page.page()


def test_the_man_page_tells_options_with_their_values() -> None:
    assert ".B \\-\\-pose <mediapipe|dwpose>" in man_page.page()


@pytest.mark.parametrize(
    ("text", "roff"), [("a\\b -x", "a\\eb \\-x"), (".PP", "\\&.PP"), ("a\n'b", "a\n\\&'b")]
)
def test_nothing_in_a_help_text_is_taken_for_roff(text: str, roff: str) -> None:
    assert man_page.escaped(text) == roff


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here")
def test_groff_has_nothing_to_say_about_the_man_page() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z"],  # noqa: S607 -- the system's
        input=man_page.page(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["prerm", "postinst", "postrm"])
def test_what_dpkg_runs_is_a_script_that_stops_at_an_error(name: str) -> None:
    path = HERE / f"posewatch.{name}"
    assert path.read_text(encoding="utf-8").startswith("#!/bin/sh\nset -e\n")
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0  # noqa: S603, S607 -- our own file, the system's shell


def test_what_a_gpu_needs_is_read_past_comments() -> None:
    (requirement,) = gpu_requirements(ROOT / "setup.cfg")
    assert requirement.startswith("onnxruntime-gpu[")
