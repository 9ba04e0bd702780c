"""Downloads from a server on this machine that behaves as Hugging Face does, or worse."""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from posewatch.base.errors import ModelError
from posewatch.models.cards import TopDownCard, card
from posewatch.models.repository import ENDPOINT, address, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENTS = {"a.onnx": bytes(range(256)) * 5000, "b.onnx": b"pose" * 1000}
DWPOSE = card("dwpose")
assert isinstance(DWPOSE, TopDownCard)


class Hub:
    """A server, and how it is to behave.

    Attributes:
        files: what it serves, by file name.
        break_after: bytes of one answer after which the connection is lost, 0 for never.
        resumes: whether it understands ranges.
        asked: path and range of each request.
    """

    def __init__(self) -> None:
        self.files = dict(CONTENTS)
        self.break_after = 0
        self.resumes = True
        self.asked: list[tuple[str, str | None]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append((self.path, self.headers["Range"]))
                hub.answer(self)

            def log_message(self, *_: Any) -> None:  # noqa: ANN401 -- as the base has it
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        if to.path.startswith("/owner/repo/resolve/"):  # to where the bytes are, as the real one
            to.send_response(302)
            to.send_header("Location", f"/cdn/{to.path.rpartition('/')[2]}")
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        data = self.files.get(to.path.removeprefix("/cdn/"))
        if data is None:
            to.send_error(404)
            return
        start = 0
        if self.resumes and (wanted := re.fullmatch(r"bytes=(\d+)-", to.headers["Range"] or "")):
            start = int(wanted[1])
        to.send_response(206 if start else 200)
        to.send_header("Content-Length", str(len(data) - start))
        to.end_headers()
        end = start + self.break_after if self.break_after else len(data)
        to.wfile.write(data[start:end])

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def wanted(hub: Hub) -> TopDownCard:
    source = DWPOSE.source.model_copy(
        update={"endpoint": hub.endpoint, "repository": "owner/repo", "revision": "main"}
    )
    networks = tuple(
        network.model_copy(
            update={
                "member": name,
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
        for network, (name, data) in zip(DWPOSE.networks, CONTENTS.items(), strict=True)
    )
    return DWPOSE.model_copy(update={"source": source, "networks": networks})


def nothing(_done: int, _total: int) -> None:
    """The progress that nobody looks at."""


def test_all_files_of_the_card_arrive_whole(hub: Hub, wanted: TopDownCard, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    files = fetch(wanted, tmp_path, lambda done, total: told.append((done, total)), {})
    assert {name: path.read_bytes() for name, path in files.items()} == {
        "detector": CONTENTS["a.onnx"],
        "pose": CONTENTS["b.onnx"],
    }
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    total = sum(map(len, CONTENTS.values()))
    assert told[-1] == (total, total)
    assert hub.asked[0] == ("/owner/repo/resolve/main/a.onnx", None)


@pytest.mark.parametrize("resumes", [True, False])
def test_a_lost_connection_is_taken_up_again(
    hub: Hub, wanted: TopDownCard, tmp_path: Path, *, resumes: bool
) -> None:
    hub.break_after, hub.resumes = 700_000, resumes
    if resumes:
        files = fetch(wanted, tmp_path, nothing, {})
        assert files["detector"].read_bytes() == CONTENTS["a.onnx"]
        assert ("/cdn/a.onnx", "bytes=700000-") in hub.asked
    else:  # each try begins anew and brings no more than the last
        with pytest.raises(ModelError, match="700,000 of 1,280,000 bytes"):
            fetch(wanted, tmp_path, nothing, {})


def test_a_connection_that_brings_nothing_is_given_up(
    hub: Hub, wanted: TopDownCard, tmp_path: Path
) -> None:
    hub.close()
    with pytest.raises(ModelError, match="cannot be downloaded") as caught:
        fetch(wanted, tmp_path, nothing, {})
    assert "--from" in caught.value.hint
    assert ENDPOINT in caught.value.hint


def test_a_missing_file_is_told_with_its_address(
    hub: Hub, wanted: TopDownCard, tmp_path: Path
) -> None:
    del hub.files["b.onnx"]
    with pytest.raises(ModelError, match=r"main/b\.onnx cannot be downloaded: .* 404"):
        fetch(wanted, tmp_path, nothing, {})


@pytest.mark.parametrize("change", ["longer", "shorter", "another"])
def test_another_file_than_the_card_names_is_refused(
    hub: Hub, wanted: TopDownCard, tmp_path: Path, change: str
) -> None:
    data = CONTENTS["a.onnx"]
    hub.files["a.onnx"] = {
        "longer": data + bytes(1 << 20),
        "shorter": data[:-1],
        "another": data[:-1] + b"!",
    }[change]
    with pytest.raises(ModelError):
        fetch(wanted, tmp_path, nothing, {})
    arrived = list(tmp_path.iterdir())
    assert [path.stat().st_size <= len(data) + 1 for path in arrived] == [True]


def test_a_mirror_is_asked_instead(hub: Hub, wanted: TopDownCard, tmp_path: Path) -> None:
    source = wanted.source.model_copy(update={"endpoint": "http://127.0.0.1:1"})
    away = wanted.model_copy(update={"source": source})
    assert set(fetch(away, tmp_path, nothing, {ENDPOINT: hub.endpoint + "/"})) == {
        "detector",
        "pose",
    }


def test_addresses_are_those_of_hugging_face() -> None:
    detector, pose = DWPOSE.networks
    assert address(DWPOSE, detector, {}) == (
        "https://huggingface.co/yzd-v/DWPose/resolve/main/yolox_l.onnx"
    )
    assert address(DWPOSE, pose, {ENDPOINT: "https://hf-mirror.com"}) == (
        "https://hf-mirror.com/yzd-v/DWPose/resolve/main/dw-ll_ucoco_384.onnx"
    )
    with pytest.raises(ModelError, match="no address"):
        address(DWPOSE, pose, {ENDPOINT: "file:///etc"})
