"""Whatever lies in the folder, the daemon lives on, and says once what became of each video."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from posewatch.base.errors import Fault
from real.daemons import Commits, assert_whole, digests, leftovers, put_video, receipt_of, until
from videos import READABLE, BadInput, bad_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from real.daemons import Fleet

GOOD = 5


def test_more_than_two_hundred_bad_inputs_and_a_few_good_ones(
    folder: Path, plain_fleet: Fleet
) -> None:
    bad = _bad_inputs(folder)
    assert len(bad) >= 200
    device = next(case for case in bad if case.path.name.endswith("device.mp4"))
    bad.remove(device)  # a link that leaves the folder: not an input at all
    good = [put_video(folder / f"{100 * n:03}.good.mp4", frames=6) for n in range(GOOD)]
    daemon = plain_fleet.daemon(folder, {"watch": {"suffixes": _suffixes(bad)}})
    before = digests(folder)
    with Commits(folder) as commits:
        daemon.start()
        paths = [*good, *(case.path for case in bad)]
        until(
            lambda: all(receipt_of(path) for path in paths),
            lambda: f"each has a receipt, also {[p for p in paths if not receipt_of(p)]}",
            seconds=240,
        )
        until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")
        assert daemon.get("/healthz")[0] == 200
        assert daemon.get("/readyz")[0] == 200
        assert daemon.stop() == 0
    assert set(commits.values()) == {1}
    assert digests(folder) == before
    for video in good:
        assert_whole(video, 6)
    wrong = [said for case in bad if (said := _unexpected(case))]
    assert not wrong, "\n".join(wrong)
    assert receipt_of(device.path) is None
    assert len(daemon.said("ignored: it is no file of this folder", file=device.path.name)) == 1
    assert not [line for line in daemon.log() if "traceback" in line]
    told = Counter(line["video"] for line in daemon.said("failed"))
    assert set(told.values()) == {1}, "each failure is told once"


def _bad_inputs(folder: Path) -> list[BadInput]:
    """All of them, each with a name that no other one's results would have."""
    found = []
    for number, case in enumerate(bad_inputs(folder)):
        path = folder / f"{number:03}-{case.path.name}"
        case.path.rename(path)
        # root may read everything; these daemons may not
        denied = case.path.name == "forbidden.mp4"
        found.append(BadInput(path, frozenset({Fault.DENIED}) if denied else case.expected))
    return found


def _suffixes(cases: list[BadInput]) -> list[str]:
    return sorted({case.path.suffix for case in cases})


def _unexpected(case: BadInput) -> str:
    """What is wrong with what became of one bad input; empty if nothing is."""
    found = receipt_of(case.path)
    assert found is not None
    fault = found.failure.fault if found.failure is not None else READABLE
    if fault is READABLE:
        assert_whole(case.path)
    elif found.failure is not None and not found.failure.message:
        return f"{case.path.name} failed without a word"
    if fault in case.expected:
        return ""
    wished = sorted("results" if fault is READABLE else fault.value for fault in case.expected)
    return f"{case.path.name}: {' or '.join(wished)} expected, but {found.failure or 'results'}"
