"""posewatch: drop a video into a folder, and its pose data appears beside it."""

__version__ = "0.1.0"
