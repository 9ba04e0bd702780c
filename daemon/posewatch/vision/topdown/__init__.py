"""Whole-body pose from the top down: find people, then the keypoints of one. See docs/dwpose.md."""

from posewatch.vision.topdown.driver import DetectorPlan, PosePlan, TopDown, TopDownResult, Track
from posewatch.vision.topdown.people import Rule

__all__ = ["DetectorPlan", "PosePlan", "Rule", "TopDown", "TopDownResult", "Track"]
