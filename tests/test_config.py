from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel

from posewatch import config
from posewatch.base.errors import SettingsError
from posewatch.config import PoseMode, PoseModel, Settings, load, user_cache
from posewatch.service.reload import FIXED, LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
BYTES = {1 << 20: "1 MiB", 256 << 20: "256 MiB", 4 << 30: "4 GiB", 20 << 30: "20 GiB"}


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "posewatch.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# The document


def settings() -> Iterator[tuple[str, str, FieldInfo]]:
    for section, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for name, inner in field.annotation.model_fields.items():
                yield section, name, inner
        else:
            yield "", section, field


def default_of(field: FieldInfo) -> str:
    value: Any = field.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    if isinstance(value, str | Path):
        return f'`"{value}"`'
    # Plain numbers, as one would write them; large ones also in words.
    number = f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{number}`" + (f" ({BYTES[value]})" if value in BYTES else "")


def allowed(field: FieldInfo) -> str:
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
        return ", ".join(f'`"{choice.value}"`' for choice in field.annotation)
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f'`"{choice}"`' for choice in choices)
    for rule in field.metadata:
        if isinstance(rule, Ge | Gt):
            low = rule.ge if isinstance(rule, Ge) else rule.gt
            least = ("from " if isinstance(rule, Ge) else "above ") + str(BYTES.get(low, low))
            high = next(r.le for r in field.metadata if isinstance(r, Le))
            return least if high == config.MOST else f"{least} to {high}"
    kinds = {bool: "`true`, `false`", str: "text"}
    for kind, told in kinds.items():
        if field.annotation in (kind, kind | None):
            return told
    return items(field) if "tuple" in str(field.annotation) else "path"


def items(field: FieldInfo) -> str:
    of = getattr(field.annotation, "__args__", ())[0]
    choices = getattr(of, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "list of " + ", ".join(f'`"{choice}"`' for choice in choices)
    return "list of numbers" if "int" in str(of) else "list of texts"


def row(section: str, name: str, field: FieldInfo) -> str:
    live = section in LIVE and (section, name) not in FIXED
    full = f"{section}.{name}" if section else name
    default = default_of(field)
    if full == "work.videos_in_flight":
        default = "the number of CPUs, at most `8`"
    meaning = " ".join((field.description or "").split())
    cells = [f"`{full}`", default, allowed(field), "SIGHUP" if live else "restart", meaning]
    return "| " + " | ".join(cells) + " |"


def test_the_document_lists_every_setting_as_it_is() -> None:
    wanted = [row(*setting) for setting in settings()]
    documented = [
        line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    assert documented == wanted, "docs/settings.md should say:\n" + "\n".join(wanted)


def test_the_document_s_example_is_valid(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        assert load(write(tmp_path, example)) != Settings()


def test_every_setting_that_lives_or_is_fixed_exists() -> None:
    there = {(section, name) for section, name, _ in settings()}
    assert there >= FIXED
    assert {section for section, _ in there} >= LIVE


# Reading


def test_no_file_is_needed() -> None:
    settings = load(None)
    assert settings == Settings()
    assert settings.work.videos_in_flight == min(8, len(os.sched_getaffinity(0)))


def test_what_the_file_says_counts_and_the_rest_stays(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'folder = "/data"\n[recipe]\nmode = "tracking"\n[watch]\nsuffixes = [".mp4"]\n'
        '[cache]\npath = "/fast"\n[claims]\nttl = 30\n',
    )
    settings = load(path)
    assert settings.folder.path == "/data"
    assert settings.cache.path == Path("/fast")
    assert settings.recipe.mode is PoseMode.TRACKING
    assert settings.watch.suffixes == (".mp4",)
    assert settings.claims.ttl == 30
    assert settings.watch.scan_interval == 10


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[recipe]\nmode = "static"\npose = "mediapipe"\n')
    assert load(path, {"recipe": {"mode": "tracking"}}).recipe.mode is PoseMode.TRACKING
    assert load(None, {"recipe": {"mode": "tracking"}}).recipe.mode is PoseMode.TRACKING


@pytest.mark.parametrize(
    ("detect", "every"), [("always", 1), ("every 1", 1), ("every 25", 25), ("auto", None)]
)
def test_people_are_looked_for_now_and_then(detect: str, every: int | None) -> None:
    assert load(None, {"recipe": {"detect": detect}}).recipe.detect_every == every


@pytest.mark.parametrize(
    "detect", ["never", "automatic", "every", "every 0", "every 1000", "every 2.5", ""]
)
def test_how_often_people_are_looked_for_is_told_in_words(detect: str) -> None:
    with pytest.raises(
        SettingsError, match=r"recipe\.detect: Input should be always, auto, or every N"
    ):
        load(None, {"recipe": {"detect": detect}})


def test_a_recipe_may_be_short(tmp_path: Path) -> None:
    path = write(tmp_path, 'recipe = "dwpose"\nfolder = "/data"\n')
    assert load(path).recipe.pose is PoseModel.DWPOSE
    both = load(path, {"recipe": {"mode": "tracking"}}).recipe
    assert (both.pose, both.mode) == (PoseModel.DWPOSE, PoseMode.TRACKING)
    with pytest.raises(SettingsError, match=r"recipe\.pose: Input should be"):
        load(write(tmp_path, 'recipe = "openpose"'))
    with pytest.raises(SettingsError, match="watch: Input should be a table"):
        load(write(tmp_path, 'watch = "dwpose"'), {"watch": {"settle": 1}})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wathc = 1", "there is no setting wathc"),
        ("[watch]\nscan = 1", "there is no setting watch.scan"),
        ("[a.b]\nc = 1", "there is no setting a"),
        ("watch = 5", "watch: Input should be a table, not 5"),
        ("[[watch]]\nsettle = 1", "watch: Input should be a table"),
        ("folder = 3", "folder: Input should be a table, not 3"),
        ('[folder]\nbucket = "clips"', "folder.bucket: Input should be s3://BUCKET"),
        ("[http]\nport = true", "http.port: Input should be a valid integer, not True"),
        ('[http]\nport = "80"', "http.port: Input should be a valid integer, not '80'"),
        ("[http]\nport = 65536", "http.port: Input should be less than or equal to 65535"),
        ("[http]\nenabled = 1", "http.enabled: Input should be a valid boolean, not 1"),
        ("[work]\nbatch = 2.5", "work.batch: Input should be a valid integer, not 2.5"),
        ("[work]\nbatch = 1979-05-27", "work.batch: Input should be a valid integer"),
        ("[work]\nbatch = 0", "work.batch: Input should be greater than or equal to 1"),
        ('[work]\ndevice = "gpu"', "work.device: Input should be 'auto', 'cpu', 'cuda' or 'tensor"),
        ('[recipe]\npose = "dwpose"\ncard = "a.onnx"', "recipe.card: Input should be the path of"),
        ('[recipe]\ncard = "a.json"', "recipe.card: Input should be left out where recipe.pose is"),
        ('[recipe]\nmode = "fast"', "recipe.mode: Input should be 'static' or 'tracking'"),
        ("[watch]\nscan_interval = nan", "watch.scan_interval: Input should be a finite"),
        ("[decode]\nstall_seconds = inf", "decode.stall_seconds: Input should be a finite"),
        ("[cache]\nlimit_bytes = 99999999999999999999", "cache.limit_bytes: Input should be less"),
        ('[watch]\nsuffixes = "mp4"', "watch.suffixes: Input should be a list, not 'mp4'"),
        ('[watch]\nsuffixes = ["mp4"]', "watch.suffixes: Suffixes should be a dot and"),
        ('[watch]\nsuffixes = [".MP4"]', "watch.suffixes: Suffixes should be a dot and"),
        ('[watch]\nsuffixes = ["./a"]', "watch.suffixes: Suffixes should be a dot and"),
        ('[watch]\nsuffixes = ["."]', "watch.suffixes: Suffixes should be those of videos"),
        ('[watch]\nsuffixes = [".npz"]', "watch.suffixes: Suffixes should be those of videos"),
        ("[claims]\nttl = 0\n[http]\nx = 1", "claims.ttl: Input"),
        ("[claims]\nttl = 0\n[http]\nx = 1", "; there is no setting http.x"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert caught.value.message.startswith(f"in {path}: ")
    assert told in caught.value.message
    assert "settings.md" in caught.value.hint


def test_a_wrong_override_is_not_the_file_s_fault() -> None:
    with pytest.raises(SettingsError, match=r"^recipe\.mode: Input should be"):
        load(None, {"recipe": {"mode": "fast"}})


def test_an_override_of_what_is_no_table_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="recipe: Input should be a table, not 5"):
        load(write(tmp_path, "recipe = 5"), {"recipe": {"mode": "static"}})


@pytest.mark.parametrize("text", ["[watch", "a = ", b"\xff\xfe", b"a = '\xe4'", "a = 1\na = 2"])
def test_what_is_no_toml_is_named(tmp_path: Path, text: str | bytes) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError, match=f"{path} is not valid TOML: "):
        load(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"settings file {tmp_path}: Is a directory"):
        load(tmp_path)
    with pytest.raises(SettingsError, match=r"nothing\.toml: No such file or directory"):
        load(tmp_path / "nothing.toml")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().watch.settle = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/posewatch/inputs"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/posewatch/inputs"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/posewatch/inputs"),
        ({}, "/var/tmp/posewatch/inputs"),  # noqa: S108 -- what is expected
        ({"HOME": ""}, "/var/tmp/posewatch/inputs"),  # noqa: S108 -- what is expected
    ],
)
def test_the_cache_lies_where_the_user_s_caches_do(environ: dict[str, str], path: str) -> None:
    assert user_cache("inputs", environ=environ) == Path(path)
