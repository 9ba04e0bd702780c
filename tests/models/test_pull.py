"""The pull, for real: from the package index to networks that compute what they should."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime
import pytest

from posewatch.base.errors import ModelError
from posewatch.models import cards
from posewatch.models.cache import CONVERTER_VERSION, ModelCache
from posewatch.models.cards import WheelCard, card
from posewatch.models.convert import convert
from posewatch.models.download import download
from posewatch.models.mend import mend
from posewatch.models.pull import Stage, pull
from posewatch.models.tflite_reader import read_graph
from posewatch.models.verify import probe_input, verify_network
from posewatch.models.wheel import read_networks
from topdown_nets import card_of, simcc, stubborn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posewatch.models.cache import InstalledModel
    from posewatch.models.cards import TopDownCard
    from posewatch.models.graph import Net

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """The TFLite files of the embedded model; the wheel is downloaded once and kept."""
    whole = card("mediapipe-holistic")
    folder = HERE.parents[1] / "build" / "test-cache" / "wheels"
    wheel = folder / whole.source.wheel
    if not wheel.exists():
        folder.mkdir(parents=True, exist_ok=True)
        download(whole, folder, lambda _done, _total: None)
    return read_networks(wheel, whole)


def test_a_pulled_model_is_whole_and_agrees_with_tensorflow_lite(
    holistic_model: InstalledModel,
) -> None:
    holistic_model.verify()
    for network in holistic_model.card.networks:
        assert verify_network(holistic_model.network(network.name), network) <= 1


def test_networks_look_at_bytes_in_batches_of_any_size(holistic_model: InstalledModel) -> None:
    for network in holistic_model.card.networks:
        session = onnxruntime.InferenceSession(
            str(holistic_model.network(network.name)), providers=["CPUExecutionProvider"]
        )
        picture = session.get_inputs()[0]
        side = network.input.size
        assert (picture.name, picture.type) == ("input", "tensor(uint8)")
        assert picture.shape == ["N", side, side, 3]
        outputs = session.run(None, {"input": probe_input(side)[:2]})
        for output, value in zip(network.outputs, outputs, strict=True):
            assert value.shape == (2, *output.shape)


def structure(net: Net) -> str:
    """A digest of the nodes and the shapes of the constants: what differs between converters.

    Not of their values, whose last bit may differ from one processor to another.
    """
    nodes = [
        (node.kind, node.inputs, node.output, sorted(node.attributes.items(), key=str))
        for node in net.nodes
    ]
    shapes = sorted((name, value.shape, value.dtype.str) for name, value in net.constants.items())
    text = json.dumps([nodes, shapes, net.outputs], default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_version_of_the_converter_follows_what_it_makes(files: dict[str, bytes]) -> None:
    """If this fails, raise `CONVERTER_VERSION` and put what it found into converted.json."""
    found = {}
    for network in card("mediapipe-holistic").networks:
        net = convert(read_graph(files[network.name]), network)
        mend(net)
        found[network.name] = structure(net)
    known = json.loads((HERE / "converted.json").read_text(encoding="utf-8"))
    assert {"version": CONVERTER_VERSION, "structure": found} == known


def test_the_same_files_come_out_of_every_conversion(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    """Sets are in another order in each process: nothing in a file may follow them."""
    (tmp_path / "network.tflite").write_bytes(files["face_detection"])
    program = (
        "import hashlib, pathlib, sys\n"
        "from posewatch.models.cards import card\n"
        "from posewatch.models.convert import convert\n"
        "from posewatch.models.mend import mend\n"
        "from posewatch.models.tflite_reader import read_graph\n"
        "data = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "network = card('mediapipe-holistic').network('face_detection')\n"
        "net = convert(read_graph(data), network)\n"
        "mend(net)\n"
        "model = net.to_onnx().SerializeToString(deterministic=True)\n"
        "print(hashlib.sha256(model).hexdigest())\n"
    )
    digests = {
        subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-c", program, str(tmp_path / "network.tflite")],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1


def test_nothing_that_only_a_pull_needs_is_imported_before() -> None:
    program = (
        "import sys, posewatch.models.cards, posewatch.models.cache, posewatch.models.pull\n"
        "sys.exit(','.join({'onnx', 'onnxruntime', 'tflite', 'flatbuffers'} & set(sys.modules)))"
    )
    ended = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.stderr == "\n"


@dataclass
class Small:
    """A model of one real network, in a wheel that pip finds in a folder."""

    cards: Path
    index: Path
    wheel: Path
    cache: ModelCache
    card: WheelCard

    def start(self) -> subprocess.Popen[str]:
        """A pull in a process of its own, led step by step (see pulling.py)."""
        command = [sys.executable, str(HERE / "pulling.py"), str(self.cache.root), str(self.cards)]
        return subprocess.Popen(  # noqa: S603 - ourselves
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index)},
            start_new_session=True,
        )

    def leftovers(self) -> list[Path]:
        return list(self.cache.root.glob(".pull-*"))


@pytest.fixture
def small(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Small]:
    whole = card("mediapipe-holistic")
    network = whole.network("hand_recrop")
    index, folder = tmp_path / "index", tmp_path / "cards"
    index.mkdir()
    folder.mkdir()
    wheel = index / whole.source.wheel
    with zipfile.ZipFile(wheel, "w") as file:
        stem = "mediapipe-0.10.21.dist-info"
        metadata = "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n"
        file.writestr(f"{stem}/METADATA", metadata)
        file.writestr(f"{stem}/WHEEL", "Wheel-Version: 1.0\n")
        file.writestr(f"{stem}/RECORD", "")
        file.writestr(network.member, files["hand_recrop"])
    data = wheel.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    source = whole.source.model_copy(update={"size": len(data), "sha256": digest})
    update = {"name": "small", "networks": (network,), "source": source}
    one = whole.model_copy(update=update)
    (folder / "small.json").write_text(one.model_dump_json(), encoding="utf-8")
    monkeypatch.setattr(cards, "_folder", lambda: folder)
    cards._known_card.cache_clear()
    yield Small(folder, index, wheel, ModelCache(tmp_path / "cache"), one)
    cards._known_card.cache_clear()


STEPS = ["download 0", "convert 0/1", "convert 1/1", "verify 0/1", "verify 1/1", "install 0/1"]


@pytest.mark.parametrize("killed_at", [*STEPS, "install 1/1"])
def test_a_pull_that_is_killed_leaves_no_half_model(small: Small, killed_at: str) -> None:
    with small.start() as process:
        for line in process.stdout or ():
            if line.startswith(killed_at):
                break
            print(file=process.stdin, flush=True)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    model = small.cache.installed("small")
    assert (model is not None) == (killed_at == "install 1/1")
    assert small.leftovers()
    pull("small", small.cache, given=[small.wheel]).verify()
    assert small.leftovers() == []


def test_a_pull_that_is_killed_while_pip_runs_leaves_no_half_model(small: Small) -> None:
    with small.start() as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("download")
        print(file=process.stdin, flush=True)
        while not list(small.cache.root.glob(".pull-*/download/requirements.txt")):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert small.cache.installed("small") is None
    pull("small", small.cache, given=[small.wheel]).verify()


def test_parallel_pulls_do_the_work_once_and_agree(small: Small) -> None:
    processes = [small.start() for _ in range(3)]
    try:
        for process in processes:  # none has to be led: it meets the end of its input
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        while any(process.poll() is None for process in processes):
            # A reader, all the while: it sees no model, or a whole one.
            if (model := small.cache.installed("small")) is not None:
                model.verify()
        said = [process.communicate()[0].splitlines() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum("convert 0/1" in lines for lines in said) == 1
    assert len({lines[-1] for lines in said}) == 1
    assert small.leftovers() == []


def test_a_pull_tells_how_far_it_is(small: Small) -> None:
    heard: list[tuple[Stage, int, int]] = []
    pull("small", small.cache, lambda *step: heard.append(step), given=[small.wheel])
    assert heard == [
        (Stage.CONVERT, 0, 1),
        (Stage.CONVERT, 1, 1),
        (Stage.VERIFY, 0, 1),
        (Stage.VERIFY, 1, 1),
        (Stage.INSTALL, 0, 1),
        (Stage.INSTALL, 1, 1),
    ]


def test_a_model_that_is_there_is_not_pulled_again_unless_it_was_changed(small: Small) -> None:
    model = pull("small", small.cache, given=[small.wheel])
    stamp = model.network("hand_recrop").stat().st_mtime_ns
    again = pull("small", small.cache, given=[small.wheel.with_name("not there")])
    assert again == model
    assert again.network("hand_recrop").stat().st_mtime_ns == stamp
    data = bytearray(model.network("hand_recrop").read_bytes())
    data[-1] ^= 1
    model.network("hand_recrop").write_bytes(data)
    mended = pull("small", small.cache, given=[small.wheel])
    mended.verify()
    assert mended.digests == model.digests


def test_a_wheel_of_the_user_is_compared_with_the_card_too(small: Small) -> None:
    small.wheel.write_bytes(small.wheel.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelError, match="has sha256"):
        pull("small", small.cache, given=[small.wheel])
    assert small.cache.installed("small") is None
    assert small.leftovers() == []


def test_a_network_that_fails_verification_is_not_installed(small: Small) -> None:
    network = small.card.networks[0]
    wrong = network.outputs[0].model_copy(update={"probe": ((0.0,) * 4,) * 3})
    networks = (network.model_copy(update={"outputs": (wrong,)}),)
    text = small.card.model_copy(update={"networks": networks}).model_dump_json()
    (small.cards / "small.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="away from TensorFlow Lite"):
        pull("small", small.cache, given=[small.wheel])
    assert small.cache.installed("small") is None
    assert small.leftovers() == []


def test_a_full_disk_is_told_and_leaves_nothing(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ModelError, match="No space is left for models in"):
        pull("small", small.cache, given=[small.wheel])
    monkeypatch.undo()
    assert small.leftovers() == []


def test_a_cache_that_cannot_be_made_is_told(small: Small) -> None:
    with pytest.raises(ModelError, match="Cannot keep models in") as caught:
        pull("small", ModelCache(small.wheel / "models"), given=[small.wheel])
    assert "POSEWATCH_MODELS" in caught.value.hint


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TopDownCard, Path]]:
    """A model of two published networks, and the folder with them."""
    folder, published = tmp_path / "cards", tmp_path / "published"
    folder.mkdir()
    published.mkdir()
    one = card_of(stubborn(published / "d.onnx"), simcc(published / "p.onnx"), name="toy")
    (folder / "toy.json").write_text(one.model_dump_json(), encoding="utf-8")
    monkeypatch.setattr(cards, "_folder", lambda: folder)
    cards._known_card.cache_clear()
    yield one, published
    cards._known_card.cache_clear()


def test_published_networks_are_rewritten_and_kept(
    toy: tuple[TopDownCard, Path], tmp_path: Path
) -> None:
    _, published = toy
    heard: list[Stage] = []
    cache = ModelCache(tmp_path / "cache")
    model = pull("toy", cache, lambda stage, *_: heard.append(stage), given=[published])
    model.verify()
    assert set(model.digests) == {"detector", "pose"}
    assert list(dict.fromkeys(heard)) == [Stage.CONVERT, Stage.INSTALL]
    shapes = [
        onnxruntime.InferenceSession(str(model.network(name))).get_inputs()[0].shape
        for name in ("detector", "pose")
    ]
    assert shapes == [[2, 96, 128, 3], ["batch", 64, 48, 3]]
    assert list(cache.root.glob(".pull-*")) == []
    again = pull("toy", cache, given=[tmp_path / "not there"])
    assert again.digests == model.digests


def test_published_files_may_lie_apart(toy: tuple[TopDownCard, Path], tmp_path: Path) -> None:
    _, published = toy
    apart = (published / "p.onnx").rename(tmp_path / "p.onnx")
    cache = ModelCache(tmp_path / "cache")
    with pytest.raises(ModelError, match=r"no p\.onnx in"):
        pull("toy", cache, given=[published])
    pull("toy", cache, given=[published / "d.onnx", apart])


def test_published_files_are_compared_with_the_card(
    toy: tuple[TopDownCard, Path], tmp_path: Path
) -> None:
    _, published = toy
    data = (published / "d.onnx").read_bytes()
    (published / "d.onnx").write_bytes(data[:-1] + b"!")
    with pytest.raises(ModelError, match="has sha256"):
        pull("toy", ModelCache(tmp_path / "cache"), given=[published])
