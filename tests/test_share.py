"""Shares of the videos: each video is in one, whoever asks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.catalog.share import Share

KEYS = [f"talks/{number:05}.mp4" for number in range(5000)]


def owner(key: str, of: int) -> int:
    (number,) = [number for number in range(1, of + 1) if Share(number, of).has(key)]
    return number


@given(st.text(min_size=1), st.integers(1, 9))
def test_each_video_is_in_one_share(key: str, of: int) -> None:
    assert 1 <= owner(key, of) <= of


def test_shares_are_even() -> None:
    sizes = Counter(owner(key, 5) for key in KEYS)
    assert sorted(sizes) == [1, 2, 3, 4, 5]
    assert all(abs(size - 1000) < 100 for size in sizes.values())


def test_one_daemon_more_takes_only_its_own() -> None:
    moved = [key for key in KEYS if owner(key, 4) != owner(key, 5)]
    assert {owner(key, 5) for key in moved} == {5}


def test_videos_that_would_have_the_same_results_go_together() -> None:
    assert all(owner(key, 5) == owner(key.replace(".mp4", ".MOV"), 5) for key in KEYS[:100])


def test_what_one_daemon_has_of_old_is_the_same_in_a_later_version() -> None:
    assert [owner(key, 3) for key in KEYS[:8]] == [1, 3, 2, 3, 1, 2, 1, 1]


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "a/b", "1/3/5", "-1/3", " 1/3"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a share is"):
        Share.parse(text)


def test_a_share_is_read_back() -> None:
    assert str(Share.parse("2/5")) == "2/5"
