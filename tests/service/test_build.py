"""Whole daemons in this process: real folders, threads and signals; only the networks are toys."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock, SystemClock
from posewatch.base.errors import (
    ModelError,
    PosewatchError,
    SettingsError,
    UnavailableError,
    UnmountedError,
)
from posewatch.base.log_fields import ATTRIBUTE
from posewatch.config import FolderSettings, Settings, load
from posewatch.formats import receipt
from posewatch.formats.pose_npz import read_pose
from posewatch.models import cards
from posewatch.models.cache import ModelCache
from posewatch.models.pull import pull
from posewatch.service import build, recipes
from posewatch.service import folder as opening
from posewatch.service.notify import SilentNotifier
from posewatch.service.reload import adopt
from posewatch.stages.recipe import RecipeId
from posewatch.storage.backing import Backing
from posewatch.storage.posix import PosixStorage
from posewatch.watch.inotify import LocalWrites
from posewatch.watch.scan import FolderReader
from posewatch.worker.cancel import Cancellation
from service.doubles import NotifierDouble
from topdown_nets import card_of, simcc, yolox
from videos import make_video
from worker.doubles import SUFFIX, ToyRecipe, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from posewatch.config import DecodeSettings, RecipeSettings, WorkSettings
    from posewatch.models.cache import InstalledModel
    from posewatch.service.overview import Overview
    from posewatch.vision.decoder import Decoder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "watch": {"scan_interval": 0.2, "settle": 0.0},
            "work": {"videos_in_flight": 2, "grace": 5.0},
            "cache": {"path": tmp_path / "cache"},
            "http": {"enabled": False},
            "log": {"style": "console"},
        }
    )


@pytest.fixture(autouse=True)
def toy_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe of `worker.doubles` in place of the real one."""

    def open_recipe(_house: object, _stack: ExitStack) -> Callable[[RecipeSettings], ToyRecipe]:
        return lambda settings: ToyRecipe(RecipeId("toy", {"mode": settings.mode.value}))

    monkeypatch.setattr(build._House, "_open_recipe", open_recipe)


@pytest.fixture(autouse=True)
def everything_as_before() -> Iterator[None]:
    """Handlers of signals and logs, and threads, are as they were."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    threads, root = set(threading.enumerate()), logging.getLogger()
    logs, level = list(root.handlers), root.level
    yield
    assert [signal.getsignal(number) for number in numbers] == handlers
    assert set(threading.enumerate()) <= threads
    root.handlers[:] = logs
    root.setLevel(level)


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread; end this process's daemon when that failed or is through."""
    failures: list[BaseException] = []
    before = signal.getsignal(signal.SIGTERM)

    def run() -> None:
        until(lambda: signal.getsignal(signal.SIGTERM) != before, "it listens to signals")
        try:
            act()
        except BaseException as error:  # noqa: BLE001 -- raised below
            failures.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    for failure in failures:
        raise failure


def told(caplog: pytest.LogCaptureFixture, field: str) -> list[str]:
    """The values of a field in what was logged."""
    found = [getattr(record, ATTRIBUTE, {}) for record in caplog.records]
    return [fields[field] for fields in found if field in fields]


def is_done(folder: Path, name: str) -> bool:
    path = folder / f"{name}.posewatch.json"
    return path.exists() and receipt.decode(path.read_bytes()) is not None


# Serving


def test_a_daemon_works_until_it_is_told_to_stop(folder: Path, settings: Settings) -> None:
    (folder / "old.mp4").write_bytes(b"old")

    def use() -> None:
        until(lambda: is_done(folder, "old"), "what was there is done")
        (folder / "new.mp4").write_bytes(b"new")
        until(lambda: is_done(folder, "new"), "what comes is done")

    with meanwhile(use):
        build.serve(lambda: settings, str(folder))
    assert (folder / f"new{SUFFIX}").read_bytes() == b"poses of new"
    assert len(list(folder.iterdir())) == 6
    assert [path.name for path in (folder.parent / "cache").iterdir()] == ["lock"]


def test_the_folder_of_the_settings_is_watched_where_none_is_given(
    folder: Path, settings: Settings
) -> None:
    (folder / "a.mp4").write_bytes(b"video")
    found = settings.model_copy(update={"folder": FolderSettings(path=str(folder))})
    with meanwhile(lambda: until(lambda: is_done(folder, "a"), "it is done")):
        build.serve(lambda: found, None)


def test_sighup_reads_the_settings_again(
    folder: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "a.mp4").write_bytes(b"video")
    versions = [settings]

    def load() -> Settings:
        if not versions:
            raise SettingsError("there is no setting x")
        return versions.pop()

    def hash_of() -> str:
        found = receipt.decode((folder / "a.posewatch.json").read_bytes())
        return found.recipe.hash if found is not None else ""

    def use() -> None:
        until(lambda: is_done(folder, "a"), "it is done")
        before = hash_of()
        versions.append(changed(settings, recipe={"mode": "tracking"}))
        os.kill(os.getpid(), signal.SIGHUP)
        until(lambda: hash_of() not in {"", before}, "it is done anew")
        os.kill(os.getpid(), signal.SIGHUP)
        until(lambda: "the settings stay as they were" in caplog.messages, "nothing changed")

    caplog.set_level(logging.INFO)
    with meanwhile(use):
        build.serve(load, str(folder))


def test_health_and_numbers_are_served(
    folder: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    http = settings.http.model_copy(update={"enabled": True, "port": 0})
    served = settings.model_copy(update={"http": http})
    caplog.set_level(logging.INFO)
    pages: dict[str, str] = {}

    def get(path: str) -> int:
        url = told(caplog, "address")[0].rstrip("/") + path
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 -- http
                pages[path] = answer.read().decode()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def use() -> None:
        until(lambda: get("/readyz") == 200, "it is ready")
        for path in ("/healthz", "/metrics", "/"):
            assert get(path) == 200

    with meanwhile(use):
        build.serve(lambda: served, str(folder))
    assert "posewatch_ready 1.0" in pages["/metrics"]
    assert str(folder) in pages["/"]


def test_while_it_starts_it_is_not_ready(folder: Path, settings: Settings) -> None:
    house = build._House(settings, str(folder), SystemClock(), SilentNotifier())
    (check,) = house._readiness().checks
    assert (check.name, check.ok, check.detail) == ("start", False, "starting")
    assert "videos" not in house._facts()


def test_the_watchdog_is_fed_where_systemd_asks_for_it(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = threading.Event()
    monkeypatch.setattr(build, "watchdog_interval", lambda _environ: 0.02)
    monkeypatch.setattr(SilentNotifier, "feed_watchdog", lambda _self: fed.set())
    with meanwhile(lambda: until(fed.is_set, "it is fed")):
        build.serve(lambda: settings, str(folder))


@pytest.mark.parametrize("listen", [True, False])
def test_without_hints_scans_find_everything(
    folder: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    listen: bool,
) -> None:
    def refuse(*_args: object) -> None:
        raise UnavailableError("no watches left")

    monkeypatch.setattr(build, "LocalWrites", refuse)
    watch = settings.watch.model_copy(update={"inotify": listen})
    (folder / "a.mp4").write_bytes(b"video")
    with meanwhile(lambda: until(lambda: is_done(folder, "a"), "it is done")):
        build.serve(lambda: settings.model_copy(update={"watch": watch}), str(folder))
    assert ("only scans will find new videos" in caplog.messages) == listen


def test_on_a_network_mount_it_is_said_that_others_are_found_by_scans(
    folder: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with monkeypatch.context() as patch:
        patch.setattr(opening, "backing_of", lambda _path: Backing("/", "nfs4"))
        with meanwhile(lambda: until(lambda: "watching" in caplog.messages, "it watches")):
            build.serve(lambda: settings, str(folder))
    assert "videos that other machines write are found by scans only" in caplog.messages


def test_a_part_that_dies_ends_the_daemon(
    folder: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_reader: FolderReader) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FolderReader, "scan", broken)
    with pytest.raises(PosewatchError, match="a part of it died"):
        build.serve(lambda: settings, str(folder))
    with pytest.raises(PosewatchError, match="a part of it died"):
        build.drain(settings, str(folder), lambda _overview: None)
    assert "a thread died; this is a bug" in caplog.messages


# Working off


def test_a_folder_is_worked_off(folder: Path, settings: Settings) -> None:
    for number in range(4):
        (folder / f"{number}.mp4").write_bytes(b"video")
    (folder / "dir.mp4").mkdir()
    shown: list[Overview] = []
    overview = build.drain(settings, str(folder), shown.append)
    assert (overview.done, overview.failed, overview.interrupted) == (4, 1, False)
    assert shown[-1] == overview
    assert build.drain(settings, str(folder), shown.append).frames == 0


def test_working_off_can_be_interrupted(folder: Path, settings: Settings) -> None:
    (folder / "a.mp4").write_bytes(b"video")
    (folder / "a.mp4.lock").write_bytes(b"somebody works on it")
    with meanwhile(lambda: None):
        overview = build.drain(settings, str(folder), lambda _overview: None)
    assert overview.interrupted


def test_a_folder_is_needed(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no folder to watch"):
        build.drain(settings, None, lambda _overview: None)
    with pytest.raises(SettingsError, match="is not a folder"):
        build.drain(settings, str(tmp_path / "nothing"), lambda _overview: None)
    with pytest.raises(SettingsError, match="is not a folder"):
        build.serve(lambda: settings, str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match="is not a folder"):
        build.open_folder(str(tmp_path / "nothing"), None)


def test_what_keeps_it_from_starting_is_told_to_systemd(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = NotifierDouble()
    monkeypatch.setattr(build, "notifier", lambda _environ, _clock: told)
    with pytest.raises(SettingsError):
        build.serve(lambda: settings, None)
    assert told.lines == [
        "no folder to watch. Name it: posewatch run FOLDER, or set folder in the settings"
    ]


# Starting on a folder that is not there yet


class Systemd(NotifierDouble):
    """Waits with us; not a `SilentNotifier` to `build`."""


def test_under_systemd_a_missing_folder_is_waited_for(
    folder: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(build, "SilentNotifier", int)  # the double is one
    told, clock = Systemd(), ManualClock()
    house = build._House(settings, str(folder), clock, told)
    folder.rmdir()

    def status(text: str) -> None:
        told.lines.append(text)
        if len(told.lines) == 4:
            folder.mkdir()

    told.status = status  # type: ignore[method-assign]
    caplog.set_level(logging.INFO)
    assert house._open_storage(wait=True)
    waiting = [line for line in told.lines if line.startswith("waiting for")]
    assert len(waiting) == 3
    assert str(folder) in waiting[0]
    assert clock.monotonic() > 1000
    assert len([line for line in told.told if line.startswith("extend")]) == 3
    assert caplog.messages == ["the folder cannot be used yet", "the folder can be used now"]


def test_nobody_waits_for_a_folder_that_is_to_be_worked_off(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnmountedError("a dead mount", hint="Mount it")

    monkeypatch.setattr(opening, "probe", refuse)
    with pytest.raises(SettingsError, match="a dead mount") as caught:
        build.drain(settings, str(folder), lambda _overview: None)
    assert caught.value.hint == "Mount it"


# Hints after unmounting


class Writes(LocalWrites):
    """Remembers how it was asked to follow."""

    def __init__(self) -> None:
        self.followed: list[bool] = []
        self.refuse = False

    def follow(self, *, anew: bool = False) -> None:
        self.followed.append(anew)
        if self.refuse:
            raise UnavailableError("no watches left")


def test_hints_follow_the_folder_after_each_scan(
    folder: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    house = build._House(settings, str(folder), ManualClock(), SilentNotifier())
    scan = FolderReader(PosixStorage(folder), (".mp4",), ManualClock()).scan()
    writes = Writes()
    for result in (scan, UnmountedError("gone"), UnavailableError("no answer"), scan, scan):
        house._deliver(result, writes)
    assert writes.followed == [False, True, False]
    writes.refuse = True
    house._deliver(scan, writes)
    house._deliver(scan, writes)
    writes.refuse = False
    house._deliver(scan, writes)
    writes.refuse = True
    house._deliver(scan, writes)
    assert caplog.messages == ["only scans will find new videos"] * 2
    house._deliver(scan, None)
    assert house._inbox.qsize() == 10


# Reading the settings again


def changed(settings: Settings, **sections: dict[str, object]) -> Settings:
    content = json.loads(settings.model_dump_json())
    for section, values in sections.items():
        content[section] |= values
    return Settings.model_validate_json(json.dumps(content))


def test_what_can_change_does(caplog: pytest.LogCaptureFixture) -> None:
    now = Settings()
    wanted = changed(
        now,
        watch={"scan_interval": 1.0, "settle": 1.0},
        work={"videos_in_flight": 3, "prefetch": 2, "grace": 1.0},
        claims={"max_attempts": 5},
        recipe={"mode": "tracking"},
        log={"level": "debug"},
    )
    assert adopt(now, wanted) == wanted
    assert adopt(now, now) == now
    assert caplog.records == []


def test_what_cannot_change_stays_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    now = Settings()
    wanted = changed(
        now,
        watch={"inotify": False, "suffixes": [".mp4"], "settle": 1.0},
        work={"device": "cpu", "batch": 4, "grace": 1.0},
        claims={"ttl": 30.0},
        decode={"max_pixels": 100},
        cache={"limit_bytes": 1 << 30},
        http={"port": 80},
    ).model_copy(update={"folder": "/elsewhere"})
    adopted = adopt(now, wanted)
    assert adopted == changed(now, watch={"settle": 1.0}, work={"grace": 1.0})
    assert set(told(caplog, "setting")) == {
        "watch.inotify",
        "watch.suffixes",
        "work.device",
        "work.batch",
        "claims.ttl",
        "decode",
        "cache",
        "http",
        "folder",
    }


def test_the_settings_of_the_command_line_stay_in_force(tmp_path: Path) -> None:
    path = tmp_path / "posewatch.toml"
    path.write_text("[recipe]\nmode = 'static'\n[work]\ngrace = 1\n")
    overrides = {"recipe": {"mode": "tracking"}}
    before = load(path, overrides)
    path.write_text("[recipe]\nmode = 'static'\n[work]\ngrace = 2\n")
    after = adopt(before, load(path, overrides))
    assert (after.recipe, after.work.grace) == (before.recipe, 2)


@pytest.mark.parametrize(("device", "seconds"), [("cuda", 590), ("tensorrt", 3590)])
def test_networks_may_take_their_time_to_be_compiled(
    folder: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    seconds: float,
) -> None:
    monkeypatch.undo()
    told, clock = Systemd(), ManualClock()
    house = build._House(changed(settings, work={"device": device}), str(folder), clock, told)
    alive = []

    class Compiling:
        def __init__(self, *_: object) -> None:
            pass

        def open(self, *_: object) -> None:
            for pause in (seconds, 20):
                clock.advance(pause)
                alive.append(house._progress.health().alive)
            raise ModelError("enough")

    monkeypatch.setattr(build, "Opening", Compiling)
    with pytest.raises(ModelError, match="enough"), ExitStack() as stack:
        house._open_recipe(stack)
    assert alive == [True, False]
    assert told.told == [f"extend {seconds + 10:g}"]


# With the real networks


def test_real_networks_are_loaded_and_used(
    folder: Path,
    settings: Settings,
    holistic_model: InstalledModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Cache:
        def require(self, _name: str) -> InstalledModel:
            return holistic_model

    monkeypatch.undo()
    monkeypatch.setattr(build, "ModelCache", Cache)
    make_video(folder / "a.mp4", frames=2)
    overview = build.drain(settings, str(folder), lambda _overview: None)
    assert (overview.done, overview.frames) == (1, 2)
    found = receipt.decode((folder / "a.posewatch.json").read_bytes())
    assert found is not None
    assert set(found.work.software) == {"posewatch", *recipes.SOFTWARE}
    assert "unknown" not in found.work.software.values()
    assert found.work.models == holistic_model.digests


def test_dwpose_s_networks_are_pulled_loaded_and_used(
    folder: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From published files, small ones whose card is called dwpose, to a result and a receipt."""
    published, known = tmp_path / "published", tmp_path / "cards"
    published.mkdir()
    known.mkdir()
    card = card_of(yolox(published / "d.onnx"), simcc(published / "p.onnx"))
    (known / "dwpose.json").write_text(card.model_dump_json(), encoding="utf-8")
    monkeypatch.undo()
    monkeypatch.setattr(cards, "_folder", lambda: known)
    monkeypatch.setenv("POSEWATCH_MODELS", os.fspath(tmp_path / "models"))
    cards._known_card.cache_clear()
    settings = changed(
        settings,
        recipe={"pose": "dwpose", "signer": "central", "detect": "auto", "people": 2},
        work={"device": "cpu"},
    )
    make_video(folder / "a.mp4", frames=3)
    try:
        with pytest.raises(ModelError, match="models pull dwpose"):
            build.drain(settings, str(folder), lambda _overview: None)
        model = pull("dwpose", ModelCache(), given=[published])
        overview = build.drain(settings, str(folder), lambda _overview: None)
    finally:
        cards._known_card.cache_clear()
    assert (overview.done, overview.frames) == (1, 3)
    found = receipt.decode((folder / "a.posewatch.json").read_bytes())
    assert isinstance(found, receipt.Receipt)
    assert found.recipe.name == "dwpose"
    asked = {"detect": "auto", "signer": "central", "people": 2}
    assert asked.items() <= found.recipe.settings.items()
    assert found.work.models == model.digests
    assert [result.name for result in found.results] == ["a.pose-dwpose.npz"]
    assert read_pose(folder / "a.pose-dwpose.npz").rows.frames.shape == (3, 2, 134, 2)


def test_a_card_of_one_s_own_gives_results_and_a_recipe_of_its_own(
    folder: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published, own = tmp_path / "published", tmp_path / "own.json"
    published.mkdir()
    told = card_of(yolox(published / "d.onnx"), simcc(published / "p.onnx"), name="mine")
    own.write_text(told.model_dump_json(), encoding="utf-8")
    monkeypatch.undo()
    monkeypatch.setenv("POSEWATCH_MODELS", os.fspath(tmp_path / "models"))
    settings = changed(
        settings, recipe={"pose": "dwpose", "card": os.fspath(own)}, work={"device": "cpu"}
    )
    make_video(folder / "a.mp4", frames=3)
    with pytest.raises(ModelError, match=rf"models pull {own}"):
        build.drain(settings, str(folder), lambda _overview: None)
    pull(os.fspath(own), ModelCache(), given=[published])
    assert build.drain(settings, str(folder), lambda _overview: None).done == 1
    found = receipt.decode((folder / "a.posewatch.json").read_bytes())
    assert isinstance(found, receipt.Receipt)
    assert found.recipe.name == "mine"
    assert found.recipe.settings["card"] == told.digest[:16]
    assert [result.name for result in found.results] == ["a.pose-mine.npz"]


def test_each_decoder_gets_the_next_gpu(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def open_decoding(
        decode: DecodeSettings, work: WorkSettings, make: Callable[[str], Decoder]
    ) -> tuple[str, ...]:
        tried.append((decode.device, work.gpus))
        make("nvdec:0").close()
        return ("nvdec:0", "nvdec:1")

    monkeypatch.setattr(build, "open_decoding", open_decoding)
    wished = changed(settings, decode={"device": "nvdec"}, work={"videos_in_flight": 3})
    house = build._House(wished, str(folder), SystemClock(), SilentNotifier())
    decoders = house._open_decoders()
    with ExitStack() as turns:
        used = [turns.enter_context(decoders.turn(Cancellation()))._hardware for _ in range(3)]
    decoders.close()
    assert (tried, used) == ([("nvdec", ())], ["nvdec:0", "nvdec:1", "nvdec:0"])
