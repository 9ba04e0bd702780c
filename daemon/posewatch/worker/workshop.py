"""Where jobs run: a thread for each, and no more of them than there is work for.

Threads: `start` makes one thread for a job, which ends with it and then calls `done`; `videos` of
them may have a turn at the same time (`Decoders`), and `prefetch` more may be fetched and waiting.
The loop owns this object; only `done`, which must just pass the ending on, is called elsewhere.
Stopping: `give_back`, then wait for the endings.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from posewatch.worker.cancel import Cancellation, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from posewatch.catalog import Job
    from posewatch.worker.attempt import Ending
    from posewatch.worker.job import Runner


class Workshop:
    """The jobs in flight.

    Args:
        done: takes the ending of each job; called from the job's thread.
    """

    def __init__(self, done: Callable[[Ending], None]) -> None:
        self._done = done
        self._jobs: dict[str, tuple[threading.Thread, Cancellation]] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def keys(self) -> Iterable[str]:
        """The inputs that are worked on."""
        return self._jobs.keys()

    def start(self, job: Job, runner: Runner) -> None:
        """Begin a job. There must be none for the same input."""
        cancellation = Cancellation()
        thread = threading.Thread(
            target=lambda: self._done(runner.run(job, cancellation)), name="job", daemon=True
        )
        self._jobs[job.key] = thread, cancellation
        thread.start()

    def ended(self, key: str) -> None:
        """The loop has taken the job's ending in."""
        thread, _ = self._jobs.pop(key)
        thread.join()

    def give_back(self, why: Stop, detail: str, *, begun: bool) -> None:
        """Cancel the jobs.

        Args:
            why: the reason.
            detail: in words.
            begun: also those that have their turn already.
        """
        for _, cancellation in self._jobs.values():
            if begun or not cancellation.has_turn:
                cancellation.cancel(why, detail)
