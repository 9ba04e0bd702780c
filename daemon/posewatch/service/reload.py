"""Which settings a running daemon takes over when it reads them again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from posewatch.base.logs import fields

if TYPE_CHECKING:
    from posewatch.config import Settings

log = logging.getLogger(__name__)

LIVE: Final = frozenset({"watch", "work", "claims", "recipe", "idle", "log"})
"""Sections that a reload takes over; of these, `FIXED` stay as well."""

FIXED: Final = frozenset(
    {
        ("watch", "inotify"),
        ("watch", "sqs"),
        ("watch", "suffixes"),
        ("work", "device"),
        ("work", "gpus"),
        ("work", "tf32"),
        ("work", "require_gpu"),
        ("work", "batch"),
        ("claims", "ttl"),
        ("recipe", "card"),
        ("recipe", "pose"),
    }
)
"""Settings that only a restart takes over."""


def adopt(now: Settings, wanted: Settings) -> Settings:
    """The settings after a reload: what can change does, and the rest is told of.

    Args:
        now: the settings until now.
        wanted: what the file says.
    """
    adopted = now
    for section in type(now).model_fields:
        old, new = getattr(now, section), getattr(wanted, section)
        if old == new:
            continue
        if section not in LIVE:
            log.warning("a restart is needed to change it", extra=fields(setting=section))
            continue
        fixed = {name: getattr(old, name) for part, name in FIXED if part == section}
        for name, value in fixed.items():
            if getattr(new, name) != value:
                setting = f"{section}.{name}"
                log.warning("a restart is needed to change it", extra=fields(setting=setting))
        adopted = adopted.model_copy(update={section: new.model_copy(update=fixed)})
    return adopted
