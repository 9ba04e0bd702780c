"""A wheel is compared with its card, and nothing in it is trusted."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
import warnings
import zipfile
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import ModelError
from posewatch.models.cards import WheelCard, card
from posewatch.models.wheel import check_wheel, read_networks

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"a network, or what passes for one here" * 40
MEMBER = "package/network.tflite"


def small_card(wheel: bytes = b"") -> WheelCard:
    """A card whose only network is `CONTENT`, and whose wheel has these bytes."""
    whole = card("mediapipe-holistic")
    network = whole.networks[0].model_copy(
        update={
            "name": "only",
            "member": MEMBER,
            "size": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
        }
    )
    source = whole.source.model_copy(
        update={"size": len(wheel), "sha256": hashlib.sha256(wheel).hexdigest()}
    )
    return whole.model_copy(update={"networks": (network,), "source": source})


def archive(path: Path, *members: tuple[str, bytes]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a member that is there twice
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members:
                file.writestr(name, data)
    return path


def test_the_networks_come_out_as_they_went_in(tmp_path: Path) -> None:
    wheel = archive(tmp_path / "w.whl", ("other", b"x"), (MEMBER, CONTENT))
    assert read_networks(wheel, small_card()) == {"only": CONTENT}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("other", CONTENT)], "0 members"),
        ([(MEMBER, CONTENT), (MEMBER, CONTENT)], "2 members"),
        ([(MEMBER, CONTENT + b"!")], "more bytes"),
        ([(MEMBER, CONTENT[:-1])], "fewer bytes"),
        ([(MEMBER, CONTENT[:-1] + b"!")], "sha256"),
        ([(f"../{MEMBER}", CONTENT)], "0 members"),
        ([(f"/{MEMBER}", CONTENT)], "0 members"),
    ],
)
def test_a_wheel_with_other_members_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes]], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        read_networks(archive(tmp_path / "w.whl", *members), small_card())


def test_nothing_is_written_anywhere(tmp_path: Path) -> None:
    names = ["../escaped", "/tmp/escaped", MEMBER, "sitecustomize.py"]  # noqa: S108 - a hostile name
    wheel = archive(tmp_path / "w.whl", *((name, CONTENT) for name in names))
    read_networks(wheel, small_card())
    assert [path.name for path in tmp_path.iterdir()] == ["w.whl"]


def test_a_member_that_unpacks_for_ever_costs_no_memory(tmp_path: Path) -> None:
    wheel = archive(tmp_path / "w.whl", (MEMBER, bytes(100_000_000)))
    assert wheel.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="more bytes"):
            read_networks(wheel, small_card())
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def flipped(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def test_every_kind_of_damage_is_a_model_error(tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole.whl", (MEMBER, CONTENT)).read_bytes()
    central = whole.rindex(b"PK\x01\x02")
    damaged = {
        "empty": b"",
        "text": b"<html>not found</html>",
        "cut": whole[: len(whole) // 2],
        "without its end": whole[:-10],
        "encrypted": flipped(flipped(whole, 6, b"\x01"), central + 8, b"\x01"),
        "an unknown compression": flipped(
            flipped(whole, 8, struct.pack("<H", 99)), central + 10, struct.pack("<H", 99)
        ),
        "not the compression that it claims": flipped(
            flipped(whole, 8, struct.pack("<H", 14)), central + 10, struct.pack("<H", 14)
        ),
        "flipped data": flipped(whole, 60, b"\xff\xff\xff\xff"),
        "another checksum": flipped(whole, central + 16, b"\0\0\0\0"),
        "a member beyond the end": flipped(whole, central + 42, b"\xff\xff\xff\x7f"),
    }
    for what, data in damaged.items():
        path = tmp_path / "w.whl"
        path.write_bytes(data)
        with pytest.raises(ModelError) as caught:
            read_networks(path, small_card())
        assert caught.value.hint, what


def test_flipping_any_byte_gives_the_same_content_or_a_model_error(tmp_path: Path) -> None:
    whole = archive(tmp_path / "w.whl", (MEMBER, CONTENT)).read_bytes()
    path = tmp_path / "w.whl"
    for offset in range(len(whole)):
        path.write_bytes(flipped(whole, offset, bytes([whole[offset] ^ 0xFF])))
        try:
            found = read_networks(path, small_card())
        except ModelError:
            continue
        assert found == {"only": CONTENT}


class TestCheck:
    def test_the_wheel_of_the_card_passes(self, tmp_path: Path) -> None:
        wheel = archive(tmp_path / "w.whl", (MEMBER, CONTENT))
        check_wheel(wheel, small_card(wheel.read_bytes()))

    def test_another_size_or_content_does_not(self, tmp_path: Path) -> None:
        wheel = archive(tmp_path / "w.whl", (MEMBER, CONTENT))
        data = wheel.read_bytes()
        with pytest.raises(ModelError, match="bytes; expected"):
            check_wheel(wheel, small_card(data + b"!"))
        with pytest.raises(ModelError, match="has sha256"):
            check_wheel(wheel, small_card(data[:-1] + b"!"))

    def test_what_cannot_be_read_does_not(self, tmp_path: Path) -> None:
        for path in (tmp_path / "missing.whl", tmp_path):
            with pytest.raises(ModelError):
                check_wheel(path, small_card())
