"""From settings to recipes: the model on this machine, its networks, the stage made of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from posewatch.config import PoseModel, user_cache
from posewatch.models.cards import TopDownCard
from posewatch.models.cards import card as known_card
from posewatch.service.networks import open_networks, version_of
from posewatch.stages.dwpose import DWPose, followed
from posewatch.stages.files import Files, components_of
from posewatch.stages.mediapipe import MediaPipePose
from posewatch.stages.pose import Loaded
from posewatch.vision.batching import TimedEngine
from posewatch.vision.holistic import Holistic, Mode, stay_on_calling_thread
from posewatch.vision.providers import Device, wants_gpu
from posewatch.vision.skeleton import skeleton_of
from posewatch.vision.topdown import DetectorPlan, PosePlan, Rule, TopDown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics
    from posewatch.config import RecipeSettings, WorkSettings
    from posewatch.models.cache import ModelCache
    from posewatch.models.cards import AnyCard
    from posewatch.stages.pose import PoseRecipe
    from posewatch.vision.engine import Engine

MODELS: Mapping[PoseModel, str] = MappingProxyType(
    {PoseModel.MEDIAPIPE: "mediapipe-holistic", PoseModel.DWPOSE: "dwpose"}
)
"""The card of each pose model."""

SOFTWARE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "av": ("av",),
        "numpy": ("numpy",),
        "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
        "opencv": ("opencv-python-headless", "opencv-python"),
    }
)
"""What takes part in making results, and the packages that it comes in."""

_SLOW_FRAMES = 2
"""Frames worked on between two looks at whether to stop, where one takes seconds: YOLOX-L and
DWPose-L take 1 to 2 s of a core. A CPU gains nothing from more."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Networks that are loaded.

    Attributes:
        model: name of their card.
        loaded: what is told of them in receipts and results.
        fallback: why no GPU is used although it would have been taken; may be empty.
        left: what the GPU leaves to the CPU of its work, in words; may be empty.
        recipe: makes a recipe of settings.
    """

    model: str
    loaded: Loaded
    fallback: str
    left: str
    recipe: Callable[[RecipeSettings], PoseRecipe]


class Opening:
    """A model that is about to be loaded.

    Args:
        settings: which one.
        models: where it is.

    Raises:
        ModelError: it is not there; the hint says how to get it.
    """

    def __init__(self, settings: RecipeSettings, models: ModelCache) -> None:
        card = MODELS[settings.pose] if settings.card is None else os.fspath(settings.card)
        self._model = models.require(card)

    def open(self, work: WorkSettings, stack: ExitStack, metrics: Metrics, clock: Clock) -> Opened:
        """Load the networks. May take minutes on a GPU, and longer for TensorRT.

        Args:
            work: where and how to run them.
            stack: takes them down again.
            metrics: told whether a GPU is used, and of each run of a network.
            clock: the time.

        Raises:
            ModelError: a network cannot be loaded, or not on the device that was asked for.
        """
        model, card = self._model, self._model.card
        # Several videos keep all cores busy; OpenCV's own threads would only get in their way.
        stay_on_calling_thread()
        files = {network.name: model.network(network.name) for network in card.networks}
        engines = user_cache("engines", environ=os.environ)

        def ran(network: str, crops: int, seconds: float) -> None:
            metrics.inference_batch_size.observe(crops)
            metrics.inference_duration[network].observe(seconds)

        def timed(engine: Engine) -> Engine:
            return TimedEngine(engine, ran, clock)

        networks = open_networks(files, work, engines, stack, timed)
        metrics.gpu_wanted.set(work.require_gpu or wants_gpu(Device(work.device)))
        metrics.gpus_used.set(len(networks.gpus))
        software = {name: version_of(*packages) for name, packages in SOFTWARE.items()}
        if networks.gpus:
            software["gpu"] = ", ".join(networks.gpus)
        batch = work.batch
        if networks.on_cpu and isinstance(card, TopDownCard):
            batch = min(batch, _SLOW_FRAMES)
        loaded = Loaded(model.digests, software, networks.provider, batch)
        recipe = _recipe(card, networks.engine, loaded)
        return Opened(card.name, loaded, networks.fallback, networks.left, recipe)


def _recipe(
    card: AnyCard, engine: Engine, loaded: Loaded
) -> Callable[[RecipeSettings], PoseRecipe]:
    if isinstance(card, TopDownCard):
        # A card of the user's own may be changed without anything else telling of it.
        digest = "" if card == known_card(MODELS[PoseModel.DWPOSE]) else card.digest[:16]
        return lambda settings: DWPose(
            top_down(
                *(card, engine, Rule(settings.signer.value), settings.detect_every),
                people=followed(Rule(settings.signer.value), settings.people),
            ),
            _parts(card),
            loaded,
            people=settings.people,
            name=card.name,
            card=digest,
            files=_files(card, settings),
        )
    return lambda settings: MediaPipePose(
        Holistic(engine, Mode(settings.mode.value)), loaded, _files(card, settings)
    )


def _files(card: AnyCard, settings: RecipeSettings) -> Files:
    shape = (len(card.keypoints), len(card.dimensions))
    wished = "pose" in settings.formats
    return Files(
        compact=settings.precision == "int16",
        components=components_of(card.components, skeleton_of(shape)) if wished else (),
    )


def top_down(
    card: TopDownCard, engine: Engine, rule: Rule, every: int | None, *, people: int = 1
) -> TopDown:
    """What a card says about its networks, for the room that runs them."""
    return TopDown(engine, *plans(card), rule=rule, every=every, people=people)


def plans(card: TopDownCard) -> tuple[DetectorPlan, PosePlan]:
    """How a card says that its networks are to be asked."""
    detector, pose = card.networks
    return (
        DetectorPlan(
            name=detector.name,
            size=(detector.input.width, detector.input.height),
            fill=detector.fill,
            score=detector.score,
            overlap=detector.overlap,
        ),
        PosePlan(
            name=pose.name,
            size=(pose.input.width, pose.input.height),
            padding=pose.padding,
            score=pose.score,
            keypoints=pose.keypoints,
            openpose=card.keypoint_order == "openpose",
        ),
    )


def _parts(card: TopDownCard) -> str:
    return ", ".join(f"{part.name.replace('_', ' ')} {part.count}" for part in card.components)
