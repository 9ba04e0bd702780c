"""Whole-body pose from the top down: people first, then their keypoints. See docs/dwpose.md."""

from posewatch.vision.topdown.choice import Census, Clip, Order
from posewatch.vision.topdown.driver import TopDown, TopDownResult, Track
from posewatch.vision.topdown.finder import DetectorPlan, PosePlan
from posewatch.vision.topdown.people import Rule

__all__ = [
    "Census",
    "Clip",
    "DetectorPlan",
    "Order",
    "PosePlan",
    "Rule",
    "TopDown",
    "TopDownResult",
    "Track",
]
