"""Whole-body pose from the top down: find people, then the keypoints of one. See docs/dwpose.md."""

from posewatch.vision.topdown.driver import DetectorPlan, PosePlan, TopDown, TopDownResult, Track

__all__ = ["DetectorPlan", "PosePlan", "TopDown", "TopDownResult", "Track"]
