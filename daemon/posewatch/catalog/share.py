"""A fixed share of the videos for each of several daemons, without any word between them.

For stores on which no claim is safe. Rendezvous hashing (Thaler and Ravishankar, 1998): each video
goes to the daemon whose number gives the highest digest together with the video's name, so the
shares are even, and with one daemon more only the videos that it gets change hands.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from posewatch.formats import names


@dataclass(frozen=True, slots=True)
class Share:
    """Which of how many.

    Attributes:
        number: of this daemon, from 1.
        of: how many daemons there are.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read `2/5`.

        Raises:
            ValueError: it is none.
        """
        match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"a share is 1/3, 2/3 or 3/3, say, not {text!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.number}/{self.of}"

    def has(self, key: str) -> bool:
        """Whether a video is in this share; those that differ in their suffix only go together."""
        if self.of == 1:
            return True
        name = os.fsencode(names.stem(key))

        def weight(number: int) -> bytes:
            return hashlib.blake2b(name, digest_size=8, key=b"%d" % number).digest()

        return max(range(1, self.of + 1), key=weight) == self.number
