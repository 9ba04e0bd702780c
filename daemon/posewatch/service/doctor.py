"""What is well, what is not, and what to change: `posewatch doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posewatch.base.errors import PosewatchError, StorageError
from posewatch.config import user_cache
from posewatch.formats import names
from posewatch.service import checkup, machine
from posewatch.service.checkup import Finding, Level, error
from posewatch.service.folder import find, keys_of, open_safely
from posewatch.vision.decode import decoders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from posewatch.base.clock import Clock
    from posewatch.config import Settings
    from posewatch.service.folder import Watched
    from posewatch.storage.contract import Storage

PAGE: Final = 1000
"""Objects that one request lists."""

MONTH: Final = 30 * 86_400.0
"""Seconds."""

LIST_PRICE: Final = 0.005 / 1000
"""US dollars for one request that lists: S3 Standard in us-east-1, November 2026; others differ."""


def examine(
    load: Callable[[], Settings],
    given: str | None,
    environ: Mapping[str, str],
    clock: Clock,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[Finding]:
    """Look at everything that work needs: settings, machine, folder.

    Args:
        load: reads the settings, as the daemon would have them.
        given: the folder, or the bucket's address; wins over the settings.
        environ: of the daemon.
        clock: the time.
        alive: called now and then while it goes on.
    """
    try:
        settings = load()
    except PosewatchError as refusal:
        yield error("settings", refusal.message, refusal.hint)
        return
    try:
        watched: Watched | None = find(settings.folder, given, environ)
    except PosewatchError as refusal:
        yield error("folder", refusal.message, refusal.hint)
        watched = None
    if watched is not None:
        yield from folder(watched, settings, environ, clock, alive)
    place = watched.place if watched is not None else None
    yield checkup.clock(machine.clocks(place, clock))
    yield from this_machine(settings, environ)


def this_machine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at what work needs beside the folder."""
    try:
        yield checkup.networks(machine.graphics(settings, environ), settings.work)
    except PosewatchError as refusal:
        yield error("networks", refusal.message, refusal.hint)
    yield checkup.codecs(decoders(checkup.CODECS))
    path = settings.cache.path or user_cache("inputs", environ=environ)
    yield checkup.cache(machine.disk(path), settings.cache.limit_bytes)
    yield checkup.limits(machine.limits(), settings.decode.memory_bytes)
    yield checkup.http(settings.http, loopback=machine.is_loopback(settings.http.host))
    yield checkup.poweroff(settings.idle, machine.unit(machine.REQUESTS))
    service = machine.unit(machine.SERVICE)
    if service is not None and service.there:
        yield checkup.unit(service)


def folder(
    watched: Watched,
    settings: Settings,
    environ: Mapping[str, str],
    clock: Clock,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[Finding]:
    """Look at a folder from the mount table upwards; stops at what makes the rest pointless.

    It writes what the start of a daemon writes: small hidden files that are removed again.

    Args:
        watched: what is to be watched.
        settings: as the daemon would have them.
        environ: of the daemon.
        clock: the time.
        alive: called now and then while it goes on.
    """
    yield _what_it_is(watched)
    if watched.place is not None:
        yield checkup.credentials(keys_of(watched, settings.folder, environ))
    try:
        storage = open_safely(watched, settings.folder, clock, lambda *_: None)
    except PosewatchError as refusal:
        yield error("claims", refusal.message, refusal.hint)
        return
    yield _claims(watched, settings)
    try:
        files, folders = _count(storage, alive)
    except StorageError as refusal:
        yield error("listing", refusal.message, refusal.hint)
        return
    yield _listing(watched, settings, files)
    yield _seeing(watched, settings)
    if settings.watch.inotify and watched.path is not None:
        found = machine.watches(folders)
        if found is not None:
            yield checkup.inotify(found)


def _what_it_is(watched: Watched) -> Finding:
    place, backing = watched.place, watched.backing
    if place is None:
        where = f"{backing.fstype} ({backing.source}), mounted at {backing.mount_point}"
        known = where if backing.fstype else "a file system that the kernel does not name"
        return Finding(Level.OK, "folder", f"{watched.name} is on {known}")
    server = place.endpoint or "AWS"
    shown = f", which {watched.mounted.program} shows at {watched.name}" if watched.mounted else ""
    return Finding(Level.OK, "folder", f"it is {place} at {server}{shown}")


def _claims(watched: Watched, settings: Settings) -> Finding:
    folder = settings.folder
    if folder.share:
        said = f"this daemon works on share {folder.share}; each other one needs another share"
        return Finding(Level.WARNING, "claims", said)
    if folder.single_writer:
        said = "only one daemon may watch it, as was promised"
        return Finding(Level.WARNING, "claims", said, "Without that promise it would be looked at")
    if watched.place is not None:
        said = "they go to the bucket itself, by writes on condition: any number of machines"
    elif watched.backing.network:
        said = "lock files through this mount are safe, for any number of machines"
    else:
        said = "lock files are safe, for any number of daemons on this machine"
    return Finding(Level.OK, "claims", f"tried out: {said}")


def _count(storage: Storage, alive: Callable[[], None]) -> tuple[int, int]:
    """How many files there are, and in how many folders."""
    files, folders = 0, {""}
    for entry in storage.scan(lambda _key: False):
        folders.add(names.split(entry.key)[0])
        files += 1
        if files % PAGE == 0:
            alive()
    return files, len(folders)


def _listing(watched: Watched, settings: Settings, files: int) -> Finding:
    if watched.place is None:
        return Finding(Level.OK, "listing", f"{files:,} files and folders")
    watch = settings.watch
    idle = monthly_lists(files, watch.idle_interval)
    busy = monthly_lists(files, watch.scan_interval)
    said = (
        f"{files:,} objects; watching them takes {idle:,.0f} requests a month when there is "
        f"nothing to do (${idle * LIST_PRICE:,.2f} at AWS), {busy:,.0f} when there always is "
        f"(${busy * LIST_PRICE:,.2f})"
    )
    hint = "With [watch] sqs, both intervals can be long" if idle * LIST_PRICE > 20 else ""
    return Finding(Level.WARNING if hint else Level.OK, "listing", said, hint)


def monthly_lists(objects: int, interval: float) -> float:
    """Requests in a month that scan so many objects every so many seconds."""
    return max(-(-objects // PAGE), 1) * MONTH / interval


def _seeing(watched: Watched, settings: Settings) -> Finding:
    watch = settings.watch
    local = watch.inotify and watched.path is not None
    ways = []
    if local:
        ways.append("what is written on this machine within a second")
    if watched.place is not None and watch.sqs:
        ways.append("what anybody writes within a second, by events")
    ways.append(f"everything by scans every {watch.scan_interval:g} s")
    if watched.place is not None:
        ways[-1] += f", or {watch.idle_interval:g} s when there is nothing to do"
    return Finding(Level.OK, "new videos", "; ".join(ways))
