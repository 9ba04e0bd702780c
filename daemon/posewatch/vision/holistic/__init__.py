"""MediaPipe Holistic on onnxruntime. Needs an engine with the networks named in `networks`."""

from posewatch.vision.holistic.crops import stay_on_calling_thread
from posewatch.vision.holistic.driver import Holistic, HolisticResult, Mode, Track

__all__ = ["Holistic", "HolisticResult", "Mode", "Track", "stay_on_calling_thread"]
