"""What stands in the folder, and what to do next about it.

Pure: listings, records and the time go in; verdicts and jobs come out. Nothing here reads a file or
a clock, so every rule can be tested with a table.

`verdict` decides about one video, `listing` reduces what a scan found, and `memory` remembers
between scans only what a listing cannot say: since when a video has been unchanged and, in `kept`,
what its receipt says.
"""

from posewatch.catalog.listing import Listing, version_of, wants_version
from posewatch.catalog.memory import Catalog, Job
from posewatch.catalog.newest import Newest, newer
from posewatch.catalog.records import Told, tellings, told_by, versions
from posewatch.catalog.share import Share
from posewatch.catalog.verdict import (
    NOT_REGULAR,
    OPEN,
    Held,
    ReceiptFacts,
    Rules,
    State,
    Verdict,
    View,
    Why,
    decide,
)

__all__ = [
    "NOT_REGULAR",
    "OPEN",
    "Catalog",
    "Held",
    "Job",
    "Listing",
    "Newest",
    "ReceiptFacts",
    "Rules",
    "Share",
    "State",
    "Told",
    "Verdict",
    "View",
    "Why",
    "decide",
    "newer",
    "tellings",
    "told_by",
    "version_of",
    "versions",
    "wants_version",
]
