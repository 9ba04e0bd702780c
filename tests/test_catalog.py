"""The rules of `posewatch.catalog`, one by one; `test_catalog_sequences` plays whole stories."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from posewatch.catalog import (
    NOT_REGULAR,
    Catalog,
    Held,
    Listing,
    ReceiptFacts,
    Rules,
    State,
    Verdict,
    View,
    Why,
    decide,
    told_by,
    wants_version,
)
from posewatch.formats import names
from posewatch.formats.receipt import Foreign, InputRecord, Receipt, RecipeRecord, ResultRecord
from posewatch.storage.contract import Entry, Version

SUFFIXES = (".mp4", ".mov", ".mkv")
RULES = Rules(SUFFIXES, recipe_hash="now", settle=0.5)
ONE, TWO = Version(5, "1"), Version(5, "2")
RECEIPT = ReceiptFacts(
    version=Version(9, "1"),
    done=True,
    input_name="a.mp4",
    input_version=ONE,
    recipe_hash="now",
    results=(("a.pose-mediapipe.npz", 7),),
    redoable=True,
)
NEW = View(
    version=ONE,
    first_seen=100.0,
    scans=1,
    closed_at=None,
    held=None,
    receipt=None,
    results_whole=False,
    owner=True,
)
DONE = replace(NEW, receipt=RECEIPT, results_whole=True)
FAILED = replace(NEW, receipt=replace(RECEIPT, done=False, results=()), results_whole=True)
SETTLED = replace(NEW, scans=2)

WAITING = Verdict(State.WAITING, Why.NEW)


@pytest.mark.parametrize(
    ("view", "now", "verdict"),
    [
        # Settling: two scans in a row, or closed and left alone for a while
        pytest.param(NEW, 100.0, Verdict(State.SETTLING, Why.NEW), id="seen once"),
        pytest.param(NEW, 1e9, Verdict(State.SETTLING, Why.NEW), id="seen once, long ago"),
        pytest.param(replace(NEW, scans=0), 100.0, Verdict(State.SETTLING, Why.NEW), id="hint"),
        pytest.param(SETTLED, 100.0, WAITING, id="two scans"),
        pytest.param(replace(NEW, scans=9), 100.0, WAITING, id="many scans"),
        pytest.param(
            replace(NEW, closed_at=100.0),
            100.4,
            Verdict(State.SETTLING, Why.NEW, 100.5),
            id="closed a moment ago",
        ),
        pytest.param(
            replace(NEW, closed_at=100.0),
            100.5,
            Verdict(State.WAITING, Why.NEW, 100.5),
            id="closed, and left alone",
        ),
        pytest.param(replace(SETTLED, closed_at=100.0), 100.0, WAITING, id="closed, two scans"),
        # What is no file never changes into a video by waiting
        pytest.param(replace(NEW, version=Version(0, NOT_REGULAR)), 100.0, WAITING, id="no file"),
        # Somebody holds it
        pytest.param(
            replace(SETTLED, held=Held.HERE), 100.0, Verdict(State.CLAIMED), id="held here"
        ),
        pytest.param(
            replace(SETTLED, held=Held.ELSEWHERE), 100.0, Verdict(State.ELSEWHERE), id="elsewhere"
        ),
        pytest.param(
            replace(NEW, held=Held.ELSEWHERE), 100.0, Verdict(State.ELSEWHERE), id="seen once, held"
        ),
        # Done, failed
        pytest.param(DONE, 100.0, Verdict(State.DONE), id="done"),
        pytest.param(FAILED, 100.0, Verdict(State.FAILED), id="failed"),
        pytest.param(
            replace(DONE, held=Held.ELSEWHERE), 100.0, Verdict(State.DONE), id="done, lock left"
        ),
        pytest.param(
            replace(FAILED, held=Held.HERE), 100.0, Verdict(State.FAILED), id="failed, lock left"
        ),
        # The input was replaced
        pytest.param(
            replace(DONE, version=TWO),
            100.0,
            Verdict(State.SETTLING, Why.INPUT_CHANGED),
            id="replaced, seen once",
        ),
        pytest.param(
            replace(DONE, version=TWO, scans=2),
            100.0,
            Verdict(State.WAITING, Why.INPUT_CHANGED),
            id="replaced",
        ),
        pytest.param(
            replace(FAILED, version=TWO, scans=2),
            100.0,
            Verdict(State.WAITING, Why.INPUT_CHANGED),
            id="replaced after a failure",
        ),
        # Results that are not there
        pytest.param(
            replace(DONE, results_whole=False, scans=2),
            100.0,
            Verdict(State.WAITING, Why.RESULTS_CHANGED),
            id="results missing or of another size",
        ),
        pytest.param(
            replace(FAILED, results_whole=False), 100.0, Verdict(State.FAILED), id="failed, nothing"
        ),
        # Another recipe
        pytest.param(
            replace(DONE, receipt=replace(RECEIPT, recipe_hash="then"), scans=2),
            100.0,
            Verdict(State.WAITING, Why.RECIPE_CHANGED),
            id="another recipe, from before",
        ),
        pytest.param(
            replace(DONE, receipt=replace(RECEIPT, recipe_hash="then", redoable=False)),
            100.0,
            Verdict(State.DONE),
            id="another recipe, of somebody who works now",
        ),
        pytest.param(
            replace(FAILED, receipt=replace(RECEIPT, done=False, recipe_hash="then"), scans=2),
            100.0,
            Verdict(State.WAITING, Why.RECIPE_CHANGED),
            id="another recipe had failed",
        ),
        # Another video has the name
        pytest.param(
            replace(SETTLED, owner=False),
            100.0,
            Verdict(State.WAITING, Why.NAME_TAKEN),
            id="name taken",
        ),
        pytest.param(
            replace(FAILED, owner=False), 100.0, Verdict(State.FAILED), id="name taken, told"
        ),
        pytest.param(
            replace(FAILED, owner=False, version=TWO, scans=2),
            100.0,
            Verdict(State.WAITING, Why.NAME_TAKEN),
            id="name taken, told about another version",
        ),
        pytest.param(
            replace(FAILED, owner=False, receipt=replace(RECEIPT, done=False, recipe_hash="then")),
            100.0,
            Verdict(State.FAILED),
            id="name taken, told by another recipe",
        ),
    ],
)
def test_one_video_at_one_moment(view: View, now: float, verdict: Verdict) -> None:
    assert decide(view, RULES, now) == verdict


def test_any_recipe_will_do_where_none_is_wanted() -> None:
    other = replace(DONE, receipt=replace(RECEIPT, recipe_hash="then"))
    assert decide(other, replace(RULES, recipe_hash=None), 0.0).state is State.DONE


# Listings


def test_a_listing_is_sorted_by_what_its_names_mean() -> None:
    listing = Listing.of(
        [
            Entry("a.mp4", ONE),
            Entry("dir.mp4", Version(4096, "7"), regular=False),
            Entry("late.mp4", None),
            Entry("a.mp4.lock", None),
            Entry("talks/b.mov.lock.12", None),
            Entry("Cargo.lock", None),
            Entry("a.txt.lock", None),
            Entry("a.pose-mediapipe.npz", TWO),
            Entry("a.posewatch.json", TWO),
            Entry("fifo.posewatch.json", TWO, regular=False),
            Entry("gone.posewatch.json", None),
            Entry("a.mov.posewatch-refused.json", TWO),
            Entry("talks/.posewatch-stage-1", TWO, regular=False),
            Entry("notes.txt", None),
            Entry("a.mp4.part", None),
        ],
        SUFFIXES,
    )
    no_file = Version(0, NOT_REGULAR)
    assert listing.videos == {"a.mp4": ONE, "dir.mp4": no_file, "late.mp4": no_file}
    assert listing.locks == ["a.mp4.lock", "talks/b.mov.lock.12"]
    assert sorted(listing.kept) == [
        "a.mov.posewatch-refused.json",
        "a.pose-mediapipe.npz",
        "a.posewatch.json",
    ]
    assert listing.hidden == {"talks/.posewatch-stage-1": TWO}


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("a.mp4", True),
        ("a.posewatch.json", True),
        ("a.pose-mediapipe.npz", True),
        (".posewatch-new-1", True),
        ("a.mp4.lock", False),
        ("notes.txt", False),
    ],
)
def test_versions_are_asked_for_where_they_matter(key: str, *, wanted: bool) -> None:
    assert wants_version(key, SUFFIXES) is wanted


# The memory


def receipt_of(
    key: str,
    *,
    version: Version = ONE,
    recipe: str = "now",
    outcome: str = "done",
) -> Receipt:
    result = ResultRecord(name=names.split(names.pose_key(key, "mediapipe"))[1], size=7, sha256="")
    return Receipt(
        outcome=outcome,
        input=InputRecord(name=names.split(key)[1], size=version.size, tag=version.tag),
        recipe=RecipeRecord(name="mediapipe", hash=recipe),
        attempt=1,
        nonce="n",
        results=(result,) if outcome == "done" else (),
    )


class Folder:
    """A folder of names and versions, and a catalog that is shown it."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.catalog = Catalog(rules)
        self.videos: dict[str, Version] = {}
        self.receipts: dict[str, tuple[Version, Receipt | Foreign | None]] = {}
        self.others: dict[str, Version] = {}
        self.now = 1000.0

    def done(self, key: str, **about: str) -> None:
        self.receipts[names.receipt_key(key)] = Version(9, "1"), receipt_of(key, **about)
        if about.get("outcome") != "failed":
            self.others[names.pose_key(key, "mediapipe")] = Version(7, "1")

    def scan(
        self, held: dict[str, Held] | None = None, *, took: float = 0.0, unlisted: str = ""
    ) -> None:
        began, self.now = self.now, self.now + took
        kept = {key: version for key, (version, _) in self.receipts.items()} | self.others
        self.catalog.scanned(
            Listing(dict(sorted(self.videos.items())), kept),
            self.now,
            began=began,
            unlisted=[unlisted] if unlisted else [],
        )
        for key, (version, content) in self.receipts.items():
            self.catalog.receipt_read(key, told_by(key, version, content))
        self.catalog.settle_up(held or {}, self.now)
        self.now += 10.0

    def close(self, key: str, version: Version = ONE) -> None:
        self.videos[key] = version
        self.catalog.closed(key, Entry(key, version), self.now)

    def state(self, key: str) -> State:
        return self.catalog.verdict(key, self.now).state

    def jobs(self, limit: int = 9) -> list[str]:
        return [job.key for job in self.catalog.jobs(self.now, limit)]


def folder_with(*videos: str, scans: int = 0) -> Folder:
    folder = Folder()
    folder.videos = dict.fromkeys(videos, ONE)
    for _ in range(scans):
        folder.scan()
    return folder


@pytest.mark.parametrize(("tags", "why"), [(False, None), (True, Why.RESULTS_CHANGED)])
def test_a_result_of_the_same_size_with_another_tag(*, tags: bool, why: Why | None) -> None:
    folder = Folder(replace(RULES, tags=tags))
    folder.videos = {"a.mp4": ONE}
    folder.done("a.mp4")
    (key,) = folder.others
    (result,) = folder.receipts["a.posewatch.json"][1].results  # type: ignore[union-attr]
    folder.others[key] = Version(result.size, result.tag)
    folder.scan()
    folder.scan()
    assert folder.jobs() == []
    folder.others[key] = Version(result.size, "another")
    folder.scan()
    assert [job.why for job in folder.catalog.jobs(folder.now, 9)] == ([why] if why else [])


@pytest.mark.parametrize("foreign", Foreign)
def test_a_foreign_file_under_the_receipts_name_is_told_and_left_alone(foreign: Foreign) -> None:
    folder = folder_with("a.mp4")
    folder.receipts["a.posewatch.json"] = Version(9, "1"), foreign
    folder.scan()
    folder.scan()
    (job,) = folder.catalog.jobs(folder.now, 9)
    assert (job.why, job.taken_by) == (Why.NAME_TAKEN, "a.posewatch.json")
    assert job.receipt_key == "a.mp4.posewatch-refused.json"
    folder.receipts[job.receipt_key] = Version(9, "2"), receipt_of("a.mp4", outcome="failed")
    folder.scan()
    assert folder.catalog.verdict("a.mp4", folder.now).state is State.FAILED
    del folder.receipts["a.posewatch.json"]
    folder.scan()
    (job,) = folder.catalog.jobs(folder.now, 9)
    assert (job.why, job.receipt_key) == (Why.NEW, "a.posewatch.json")


def test_a_video_is_handed_out_when_two_scans_saw_the_same() -> None:
    folder = folder_with("a.mp4", scans=1)
    assert folder.jobs() == []
    folder.scan()
    (job,) = folder.catalog.jobs(folder.now, 9)
    assert (job.key, job.version, job.why) == ("a.mp4", ONE, Why.NEW)
    assert (job.receipt_key, job.taken_by, job.seen_at) == ("a.posewatch.json", None, 1000.0)
    assert (job.closed_at, job.look_again, job.bugs) == (None, False, 0)


def test_a_video_that_grows_is_waited_for() -> None:
    folder = folder_with("a.mp4")
    for size in range(5):
        folder.videos["a.mp4"] = Version(size, str(size))
        folder.scan()
        assert folder.jobs() == []
    folder.scan()
    assert folder.jobs() == ["a.mp4"]


def test_a_closed_video_is_handed_out_after_its_rest_and_looked_at_again() -> None:
    folder = Folder()
    folder.close("a.mp4")
    assert folder.jobs() == []
    assert folder.catalog.next_ready(folder.now) == folder.now + 0.5
    folder.now += 0.5
    (job,) = folder.catalog.jobs(folder.now, 9)
    assert (job.closed_at, job.look_again) == (1000.0, True)
    assert folder.catalog.next_ready(folder.now) is None
    folder.catalog.taken("a.mp4")
    assert folder.jobs() == []


def test_a_video_that_was_closed_once_and_changed_again_rests_anew() -> None:
    folder = Folder()
    folder.close("a.mp4", ONE)
    folder.now += 0.4
    folder.close("a.mp4", TWO)
    folder.now += 0.4
    assert folder.jobs() == []
    folder.now += 0.1
    assert [job.version for job in folder.catalog.jobs(folder.now, 9)] == [TWO]


def test_a_scan_right_after_a_hint_does_not_settle_what_was_seen_once() -> None:
    folder = Folder()
    folder.close("a.mp4")
    folder.scan()
    folder.now -= 10
    assert folder.jobs() == []


def test_what_is_no_video_is_not_taken_in() -> None:
    folder = Folder()
    folder.catalog.closed("notes.txt", Entry("notes.txt", ONE), folder.now)
    folder.catalog.closed("a.mp4.part", Entry("a.mp4.part", ONE), folder.now)
    assert len(folder.catalog) == 0


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_closing_a_finished_video_unchanged_opens_nothing(outcome: str) -> None:
    folder = folder_with("a.mp4")
    folder.done("a.mp4", outcome=outcome)
    folder.scan()
    folder.close("a.mp4", ONE)
    assert folder.catalog.open == 0
    assert folder.catalog.finished("a.mp4")
    folder.close("a.mp4", TWO)
    assert (folder.catalog.open, folder.catalog.failed) == (1, 0)
    folder.now += 1
    assert [job.why for job in folder.catalog.jobs(folder.now, 9)] == [Why.INPUT_CHANGED]


def test_a_hint_that_came_while_a_scan_ran_is_newer_than_the_scan() -> None:
    folder = folder_with("old.mp4", "same.mp4", scans=1)
    folder.now += 1
    folder.close("same.mp4", ONE)  # moved there while its new folder was listed
    folder.close("old.mp4", TWO)  # after that file was listed
    folder.close("new.mp4", ONE)  # after its folder was listed
    seen = {"old.mp4": ONE}
    folder.catalog.scanned(Listing(seen), folder.now, began=folder.now - 1)
    folder.catalog.settle_up({}, folder.now)
    folder.now += 0.5
    jobs = folder.catalog.jobs(folder.now, 9)
    assert [(job.key, job.version) for job in jobs] == [
        ("new.mp4", ONE),
        ("old.mp4", TWO),
        ("same.mp4", ONE),
    ]
    # The next scan begins after the hints, and is right.
    folder.catalog.scanned(Listing(seen), folder.now, began=folder.now)
    assert list(folder.catalog.keys()) == ["old.mp4"]


def test_what_is_below_an_unlistable_folder_is_not_gone() -> None:
    folder = folder_with("talks/a.mp4", "talks/b.mp4", "c.mp4")
    folder.done("talks/a.mp4")
    folder.scan()
    everything = folder.videos, folder.receipts, folder.others
    folder.videos, folder.receipts, folder.others = {"c.mp4": ONE}, {}, {}
    folder.scan(unlisted="talks/")
    assert folder.state("talks/a.mp4") is State.DONE
    assert folder.state("talks/b.mp4") is State.SETTLING
    folder.scan()
    assert list(folder.catalog.keys()) == ["c.mp4"]
    folder.videos, folder.receipts, folder.others = everything
    folder.scan()
    assert folder.state("talks/a.mp4") is State.DONE


def test_the_longest_known_goes_first_and_no_more_than_asked_for() -> None:
    folder = folder_with("z.mp4", scans=1)
    folder.videos |= {"b.mp4": ONE, "a.mp4": ONE}
    folder.scan()
    folder.scan()
    folder.close("0.mp4")
    folder.now += 1
    assert folder.jobs(limit=2) == ["z.mp4", "a.mp4"]
    assert folder.jobs() == ["z.mp4", "a.mp4", "b.mp4", "0.mp4"]
    assert folder.jobs(limit=0) == []


def test_the_longest_waiting_is_unfinished_since_it_was_first_seen_so() -> None:
    folder = folder_with("a.mp4", "b.mp4")
    folder.done("a.mp4")
    folder.scan()
    assert folder.catalog.oldest_waiting is None, "one is done, the other was seen once"
    since = folder.now - 10
    folder.scan()
    assert folder.catalog.oldest_waiting == since
    folder.scan({"b.mp4": Held.ELSEWHERE})
    assert folder.catalog.oldest_waiting is None, "somebody works on it"
    folder.scan()
    assert folder.catalog.oldest_waiting == since, "who had it came to nothing"
    folder.done("b.mp4")
    folder.videos["a.mp4"] = TWO
    folder.scan()
    since = folder.now - 10
    folder.scan()
    assert folder.catalog.oldest_waiting == since, "not since the first video of that name"


def test_a_video_is_not_handed_out_while_it_is_held() -> None:
    folder = folder_with("a.mp4", "b.mp4", "c.mp4", scans=2)
    folder.catalog.taken("a.mp4")
    folder.catalog.held_elsewhere("b.mp4")
    assert folder.jobs() == ["c.mp4"]
    folder.scan({"a.mp4": Held.HERE})
    assert folder.jobs() == ["b.mp4", "c.mp4"]
    assert folder.state("a.mp4") is State.CLAIMED


def test_what_was_let_go_comes_again_after_its_wait() -> None:
    folder = folder_with("a.mp4", scans=2)
    folder.catalog.taken("a.mp4")
    folder.catalog.let_go("a.mp4", folder.now, wait=30.0)
    assert folder.jobs() == []
    folder.now += 29.9
    folder.scan()
    folder.now -= 10
    assert folder.jobs() == []
    folder.now += 0.1
    assert folder.jobs() == ["a.mp4"]


def test_what_was_let_go_comes_again_also_after_a_scan_that_saw_it_taken() -> None:
    folder = folder_with("a.mp4", scans=2)
    folder.catalog.taken("a.mp4")
    folder.scan({"a.mp4": Held.HERE})
    folder.catalog.let_go("a.mp4", folder.now)
    assert folder.jobs() == ["a.mp4"]


def test_bugs_are_counted_until_they_are_told_as_a_failure() -> None:
    folder = folder_with("a.mp4", scans=2)
    for bugs in range(3):
        (job,) = folder.catalog.jobs(folder.now, 9)
        assert job.bugs == bugs
        folder.catalog.taken("a.mp4")
        folder.catalog.let_go("a.mp4", folder.now, bug=True)
    failure = receipt_of("a.mp4", outcome="failed")
    folder.catalog.published("a.posewatch.json", Version(9, "1"), failure, folder.now)
    folder.catalog.let_go("a.mp4", folder.now)
    assert (folder.catalog.open, folder.catalog.failed) == (0, 1)
    folder.now += 1
    folder.scan()  # somebody forgot the failure
    assert [job.bugs for job in folder.catalog.jobs(folder.now, 9)] == [0]


def test_own_results_are_done_before_the_next_scan() -> None:
    folder = folder_with("a.mp4", scans=2)
    folder.catalog.taken("a.mp4")
    folder.catalog.published("a.posewatch.json", Version(9, "1"), receipt_of("a.mp4"), folder.now)
    folder.catalog.let_go("a.mp4", folder.now)
    assert folder.state("a.mp4") is State.DONE
    assert (folder.catalog.open, folder.jobs()) == (0, [])


@pytest.mark.parametrize("before", [False, True])
def test_own_results_are_newer_than_a_scan_that_had_begun(*, before: bool) -> None:
    folder = folder_with("a.mp4", scans=2)
    if before:
        folder.receipts["a.posewatch.json"] = Version(3, "0"), receipt_of("a.mp4", version=TWO)
    folder.catalog.taken("a.mp4")
    folder.now += 1
    folder.catalog.published("a.posewatch.json", Version(9, "1"), receipt_of("a.mp4"), folder.now)
    folder.catalog.let_go("a.mp4", folder.now)
    folder.now -= 1
    folder.scan(took=5)
    assert folder.state("a.mp4") is State.DONE
    # The next scan is newer: somebody has removed them.
    folder.receipts = {}
    folder.scan()
    assert folder.jobs() == ["a.mp4"]


def test_a_video_that_is_gone_is_forgotten() -> None:
    folder = folder_with("a.mp4", "b.mp4", scans=2)
    folder.catalog.taken("a.mp4")
    folder.catalog.gone("a.mp4")
    folder.catalog.gone("never.mp4")
    folder.catalog.let_go("a.mp4", folder.now)
    assert not folder.catalog.knows("a.mp4")
    assert folder.catalog.finished("a.mp4")
    assert (len(folder.catalog), folder.catalog.open, folder.jobs()) == (1, 1, ["b.mp4"])


def test_only_the_version_that_is_gone_is_forgotten() -> None:
    folder = folder_with("a.mp4", scans=2)
    folder.catalog.taken("a.mp4")
    folder.close("a.mp4", TWO)  # replaced while it is read
    folder.catalog.let_go("a.mp4", folder.now)
    folder.catalog.gone("a.mp4", ONE)
    folder.now += 1
    assert [job.version for job in folder.catalog.jobs(folder.now, 9)] == [TWO]
    folder.catalog.gone("a.mp4", TWO)
    assert not folder.catalog.knows("a.mp4")


@pytest.mark.parametrize("others", [{}, {"a.pose-mediapipe.npz": Version(8, "1")}])
def test_results_are_compared_with_the_receipt(others: dict[str, Version]) -> None:
    folder = folder_with("a.mp4")
    folder.done("a.mp4")
    folder.others = others
    folder.scan()
    folder.scan()
    assert [job.why for job in folder.catalog.jobs(folder.now, 9)] == [Why.RESULTS_CHANGED]


def test_a_file_that_is_no_receipt_counts_for_nothing() -> None:
    folder = folder_with("a.mp4")
    folder.done("a.mp4")
    folder.scan()
    folder.receipts["a.posewatch.json"] = Version(3, "2"), None
    folder.scan()
    assert [job.why for job in folder.catalog.jobs(folder.now, 9)] == [Why.NEW]


def test_what_stands_at_the_receipt_s_name_may_turn_out_to_be_none() -> None:
    folder = folder_with("a.mp4")
    folder.done("a.mp4")
    folder.scan()
    folder.catalog.published("a.posewatch.json", Version(3, "2"), None, folder.now)
    assert folder.state("a.mp4") is State.SETTLING


def test_a_name_that_leaves_no_room_for_results_is_a_failure() -> None:
    name = "x" * 240 + ".mp4"
    folder = folder_with(name, scans=3)
    assert folder.state(name) is State.FAILED
    assert (folder.jobs(), folder.catalog.open, folder.catalog.failed) == ([], 0, 1)


# Recipes


def test_results_from_before_are_outdated_and_those_of_others_are_not() -> None:
    folder = folder_with("before.mp4", "since.mp4")
    folder.done("before.mp4", recipe="then")
    folder.scan()
    folder.done("since.mp4", recipe="then")
    folder.scan()
    folder.scan()
    assert folder.jobs() == ["before.mp4"]


def test_a_changed_recipe_outdates_everything_of_that_moment_once() -> None:
    folder = folder_with("a.mp4", "b.mp4")
    folder.scan()
    for key in ("a", "b"):
        folder.done(f"{key}.mp4")
    folder.scan()
    folder.catalog.change_rules(replace(RULES, settle=1.0))
    assert folder.state("a.mp4") is State.DONE
    folder.catalog.change_rules(replace(RULES, recipe_hash="next"))
    assert folder.state("a.mp4") is State.WAITING
    other = receipt_of("a.mp4", recipe="theirs")
    key = "a.posewatch.json"
    folder.catalog.receipt_read(key, told_by(key, Version(9, "2"), other))
    assert folder.state("a.mp4") is State.DONE
    assert folder.state("b.mp4") is State.WAITING


def test_a_job_that_ends_after_its_recipe_was_changed_is_outdated() -> None:
    folder = folder_with("a.mp4", scans=2)
    folder.catalog.taken("a.mp4")
    folder.catalog.change_rules(replace(RULES, recipe_hash="next"))
    content = receipt_of("a.mp4", recipe="now")
    folder.catalog.published("a.posewatch.json", Version(9, "1"), content, folder.now)
    folder.catalog.let_go("a.mp4", folder.now)
    assert [job.why for job in folder.catalog.jobs(folder.now, 9)] == [Why.RECIPE_CHANGED]


# Rivals


def rivals(folder: Folder) -> dict[str, str]:
    return {key: folder.catalog.owner(key) for key in sorted(folder.catalog.keys())}


def test_of_rivals_without_a_receipt_the_first_seen_owns_the_name() -> None:
    folder = folder_with("a.mp4", "b.mp4", "b.mov", scans=1)
    folder.videos["a.mov"] = ONE
    folder.scan()
    assert rivals(folder) == {
        "a.mov": "a.mp4",
        "a.mp4": "a.mp4",
        "b.mov": "b.mov",
        "b.mp4": "b.mov",
    }


def test_of_rivals_the_one_that_the_receipt_is_about_owns_the_name() -> None:
    folder = folder_with("talks/a.mov", "talks/a.mp4", "talks/a.mkv")
    folder.done("talks/a.mp4")
    folder.scan()
    folder.scan()
    assert set(rivals(folder).values()) == {"talks/a.mp4"}
    jobs = folder.catalog.jobs(folder.now, 9)
    assert [(job.key, job.why, job.taken_by, job.receipt_key) for job in jobs] == [
        (f"talks/a.{x}", Why.NAME_TAKEN, "a.mp4", f"talks/a.{x}.posewatch-refused.json")
        for x in ("mkv", "mov")
    ]


def test_a_refused_video_is_failed_until_its_rival_is_gone() -> None:
    folder = folder_with("a.mov", "a.mp4")
    folder.done("a.mp4")
    refusal = receipt_of("a.mov", outcome="failed")
    folder.receipts["a.mov.posewatch-refused.json"] = Version(9, "1"), refusal
    folder.scan()
    assert (folder.state("a.mp4"), folder.state("a.mov")) == (State.DONE, State.FAILED)
    del folder.videos["a.mp4"]
    folder.scan()
    (job,) = folder.catalog.jobs(folder.now, 9)
    assert (job.key, job.why, job.receipt_key) == ("a.mov", Why.NEW, "a.posewatch.json")


def test_a_rival_that_comes_by_a_hint_is_known_at_once() -> None:
    folder = folder_with("a.mp4", scans=2)
    folder.done("a.mp4")
    folder.scan()
    late = ["a.mov", "a.MKV", "a.Mp4"]
    for key in late:
        folder.close(key)
    folder.now += 1
    jobs = folder.catalog.jobs(folder.now, 9)
    assert [(job.key, job.taken_by) for job in jobs] == [(key, "a.mp4") for key in late]


def test_a_receipt_of_a_file_that_was_renamed_is_about_nobody() -> None:
    folder = folder_with("a.mov")
    folder.done("a.mp4")
    folder.scan()
    folder.scan()
    (job,) = folder.catalog.jobs(folder.now, 9)
    assert (job.key, job.why, job.taken_by) == ("a.mov", Why.NEW, None)


def test_a_video_that_grows_for_days_costs_no_memory() -> None:
    catalog = Catalog(RULES)

    def scan(number: int) -> None:
        entries = [Entry("camera.mp4", Version(number, str(number)))]
        catalog.scanned(Listing.of(entries, SUFFIXES), float(number))
        catalog.settle_up({}, float(number))

    tracemalloc.start()
    try:
        scan(0)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 500):
            scan(number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 5_000  # it had been 45 bytes a scan
