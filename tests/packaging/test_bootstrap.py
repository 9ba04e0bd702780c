from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

import bootstrap
from bootstrap import Environment, check_system, fingerprint, set_up, wanted_extras
from commands import CommandError
from package_index import BootstrapError, Wheel

if TYPE_CHECKING:
    from pathlib import Path

# Stands in for pip: it installs itself, and writes down what it is asked to install.
FAKE_PIP = """
import json, os, pathlib, shutil, signal, sys, sysconfig, zipfile
if "--version" in sys.argv:
    sys.exit(0)
print("the reason", flush=True)
log = pathlib.Path(os.environ["FAKE_PIP_LOG"])
log.write_text(log.read_text() + json.dumps(sys.argv[1:]) + "\\n")
if "--no-index" in sys.argv:
    zipfile.ZipFile(sys.argv[-1]).extractall(sysconfig.get_path("purelib"))
elif os.environ.get("FAKE_PIP_END") == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif os.environ.get("FAKE_PIP_END") == "failed":
    sys.exit(1)
"""
SETUP_CFG = "[options]\ninstall_requires =\n    numpy>=1.26.0\n[mypy]\nstrict = true\n"


class _Checkout:
    """A checkout with nothing in it but what a set-up reads, and its environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.setup_cfg = root / "setup.cfg"
        self.setup_cfg.write_text(SETUP_CFG)
        (root / "pyproject.toml").touch()
        (root / "packaging").mkdir()
        (root / "packaging" / "constraints.txt").write_text("numpy==2.0.0\n")
        self.environment = Environment(root / ".venv", root)
        self.log = root / "pip.log"
        self.log.touch()

    def set_up(self, *extras: str) -> list[list[str]]:
        """Run the set-up and give the calls of pip that it made."""
        self.log.write_text("")
        set_up(self.environment, extras)
        return self.calls()

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def installed_with(self, *extras: str) -> list[str]:
        target = f"{self.root}[{','.join(extras)}]"
        constraints = str(self.root / "packaging" / "constraints.txt")
        return ["install", "--no-input", "--editable", target, "--constraint", constraints]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Checkout:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = wheels / "pip-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pip/__init__.py", "")
        archive.writestr("pip/__main__.py", FAKE_PIP)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(bootstrap, "PIP", Wheel("pip", wheel.name, digest))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    root = tmp_path / "a check out"
    root.mkdir()
    made = _Checkout(root)
    monkeypatch.setenv("FAKE_PIP_LOG", str(made.log))
    return made


class TestSetUp:
    def test_a_fresh_checkout_gets_pip_and_posewatch(self, checkout: _Checkout) -> None:
        pip, posewatch = checkout.set_up()
        assert pip[:-1] == ["install", "--no-index", "--no-deps"]
        assert posewatch == checkout.installed_with("cpu")
        assert not list(checkout.environment.folder.glob("*.whl"))

    def test_the_second_time_there_is_nothing_to_do(
        self, checkout: _Checkout, capsys: pytest.CaptureFixture[str]
    ) -> None:
        checkout.set_up("dev")
        capsys.readouterr()
        assert checkout.set_up("dev") == []
        assert checkout.set_up() == []
        assert capsys.readouterr().out == ""

    def test_an_extra_is_added_to_what_is_there(self, checkout: _Checkout) -> None:
        checkout.set_up()
        assert checkout.set_up("dev") == [checkout.installed_with("cpu", "dev")]

    def test_the_other_runtime_replaces_the_environment(self, checkout: _Checkout) -> None:
        checkout.set_up("dev")
        mine = checkout.environment.folder / "mine"
        mine.touch()
        assert checkout.set_up("gpu")[-1] == checkout.installed_with("dev", "gpu")
        assert not mine.exists()

    def test_changed_dependencies_are_installed_into_it(self, checkout: _Checkout) -> None:
        checkout.set_up()
        mine = checkout.environment.folder / "mine"
        mine.touch()
        checkout.setup_cfg.write_text(SETUP_CFG.replace("1.26.0", "2.0.0"))
        assert checkout.set_up() == [checkout.installed_with("cpu")]
        assert mine.exists()

    def test_another_python_makes_it_anew(
        self, checkout: _Checkout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkout.set_up()
        monkeypatch.setattr(sys, "version", "3.99.0")
        assert len(checkout.set_up()) == 2

    def test_a_moved_checkout_makes_it_anew(self, checkout: _Checkout) -> None:
        checkout.set_up()
        moved = checkout.root.rename(checkout.root.with_name("moved"))
        environment = Environment(moved / ".venv", moved)
        assert environment.installed() == frozenset()
        assert not environment.usable()

    @pytest.mark.parametrize(("end", "calls_after"), [("killed", 2), ("failed", 1)])
    def test_what_was_interrupted_is_made_anew_and_what_failed_is_tried_again(
        self, checkout: _Checkout, monkeypatch: pytest.MonkeyPatch, end: str, calls_after: int
    ) -> None:
        monkeypatch.setenv("FAKE_PIP_END", end)
        with pytest.raises(CommandError, match="the reason"):
            checkout.set_up()
        monkeypatch.delenv("FAKE_PIP_END")
        calls = checkout.set_up()
        assert calls[-1] == checkout.installed_with("cpu")
        assert len(calls) == calls_after

    def test_a_broken_stamp_only_costs_another_set_up(self, checkout: _Checkout) -> None:
        checkout.set_up()
        (checkout.environment.folder / "posewatch-setup.json").write_text("[")
        assert checkout.set_up() == [checkout.installed_with("cpu")]

    def test_without_an_index_the_pip_of_python_itself_will_do(
        self, checkout: _Checkout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, ...]] = []

        def run(_: Environment, *arguments: str) -> None:
            asked.append(arguments)

        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setattr(Environment, "_run", run)
        checkout.environment.install_pip()
        assert asked == [("-m", "ensurepip")]

    def test_without_any_pip_the_first_reason_is_told(
        self, checkout: _Checkout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def run(_: Environment, *arguments: str) -> None:
            raise CommandError(arguments, 1, "No module named ensurepip")

        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setattr(Environment, "_run", run)
        with pytest.raises(BootstrapError, match="could not be downloaded"):
            checkout.environment.install_pip()


def test_a_system_without_the_library_of_all_compiled_wheels_is_told_so() -> None:
    check_system()
    with pytest.raises(BootstrapError, match=r"no libnone\.so\.6, which numpy.*apt-get install"):
        check_system("libnone.so.6")


class TestExtras:
    @pytest.mark.parametrize(
        ("asked", "before", "wanted"),
        [
            ([], set(), {"cpu"}),
            (["dev"], set(), {"cpu", "dev"}),
            (["gpu"], set(), {"gpu"}),
            ([], {"gpu", "dev"}, {"gpu", "dev"}),
            (["dev"], {"gpu"}, {"gpu", "dev"}),
            (["cpu"], {"gpu", "systemd"}, {"cpu", "systemd"}),
        ],
    )
    def test_one_runtime_and_all_else_that_was_ever_asked(
        self, asked: list[str], before: set[str], wanted: set[str]
    ) -> None:
        assert wanted_extras(asked, frozenset(before)) == wanted


class TestFingerprint:
    def test_it_is_about_what_is_installed_and_not_about_the_tools(
        self, checkout: _Checkout
    ) -> None:
        before = fingerprint(checkout.root)
        checkout.setup_cfg.write_text(SETUP_CFG.replace("strict = true", "strict = false"))
        assert fingerprint(checkout.root) == before
        checkout.setup_cfg.write_text(SETUP_CFG.replace("1.26.0", "2.0.0"))
        changed = fingerprint(checkout.root)
        assert changed != before
        (checkout.root / "packaging" / "constraints.txt").write_text("numpy==2.1.0\n")
        assert fingerprint(checkout.root) != changed


class TestMain:
    def test_an_old_python_is_told_so(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "version_info", (3, 10, 12, "final", 0))
        assert bootstrap.main([]) == 1
        assert "posewatch needs Python 3.11 or newer" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("error", "ending"),
        [
            (BootstrapError("no index"), (1, "posewatch: no index\n")),
            (
                CommandError(("pip",), 2, "No space left"),
                (
                    1,
                    (
                        "No space left\npip ended with status 2\n"
                        "posewatch: the set-up failed; the reason is above\n"
                    ),
                ),
            ),
            (PermissionError(13, "no", "/x"), (1, "posewatch: no permission to write /x\n")),
            (KeyboardInterrupt(), (130, "\nposewatch: stopped; the same command starts again\n")),
        ],
    )
    def test_what_goes_wrong_is_one_line(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        error: BaseException,
        ending: tuple[int, str],
    ) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(bootstrap, "only_one", contextlib.nullcontext)
        monkeypatch.setattr(bootstrap, "set_up", fail)
        assert (bootstrap.main([]), capsys.readouterr().err) == ending

    def test_two_at_a_time_wait_for_each_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiting, entered = threading.Event(), threading.Event()

        def second() -> None:
            with bootstrap.only_one(tmp_path):
                entered.set()

        monkeypatch.setattr(bootstrap, "say", lambda _: waiting.set())
        thread = threading.Thread(target=second)
        with bootstrap.only_one(tmp_path):
            thread.start()
            assert waiting.wait(10)
            assert not entered.is_set()
        thread.join(10)
        assert entered.is_set()
