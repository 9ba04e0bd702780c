"""posewatch: drop a video into a folder, and its pose data appears beside it."""

import os

__version__ = "0.1.0"

# Since 1.31 onnxruntime reports its use to its makers, and keeps a device id in the user's cache,
# from the moment that it is imported. Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
