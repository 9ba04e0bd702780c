"""Fetches the files of a model from Hugging Face, or from a mirror that serves files as it does.

`HF_ENDPOINT` names a mirror, as for Hugging Face's own tools; proxies and certificates are those
of Python (`HTTPS_PROXY`, `SSL_CERT_FILE`). Nothing that arrives is believed before its size and
sha256 were compared with the card.
"""

from __future__ import annotations

import http
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from posewatch import __version__
from posewatch.base.errors import ModelError
from posewatch.models.check import check_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from posewatch.models.cards import Network, TopDownCard

ENDPOINT = "HF_ENDPOINT"

_PIECE = 1 << 20
_SILENCE = 60.0
"""Seconds without a byte after which a connection counts as broken."""

_ANOTHER = "Nothing of it was used. Is a mirror configured that serves another file?"


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def fetch(
    card: TopDownCard,
    folder: Path,
    progress: Callable[[int, int], None],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Path]:
    """Download every file of a card.

    Args:
        card: of the model.
        folder: existing; gets the files.
        progress: called with the bytes so far and in all.
        environ: may name a mirror.

    Returns:
        The file of each network, by network.

    Raises:
        ModelError: one could not be downloaded, or is not the file on the card.
        OSError: the folder cannot be written to.
    """
    total = sum(network.size for network in card.networks)
    before = 0
    files = {}
    for network in card.networks:
        path = folder / f"{network.name}.download"
        url = address(card, network, environ)
        _fetch(url, path, network.size, partial(_add, progress, before, total), _hint(card))
        check_file(path, network.size, network.sha256, hint=_ANOTHER)
        files[network.name] = path
        before += network.size
    return files


def address(card: TopDownCard, network: Network, environ: Mapping[str, str]) -> str:
    """Where a file of the card is served.

    Raises:
        ModelError: the card names no source, or the mirror's address is none.
    """
    source = card.source
    if source is None:
        raise ModelError(
            f"the card of {card.name} names no source of its files",
            hint=f"Give a folder with them: posewatch models pull {card.name} --from FOLDER",
        )
    endpoint = (environ.get(ENDPOINT) or source.endpoint).rstrip("/")
    if urllib.parse.urlsplit(endpoint).scheme not in {"http", "https"}:
        raise ModelError(
            f"{ENDPOINT} is no address of a server: {endpoint}",
            hint="It should begin with https://",
        )
    path = urllib.parse.quote(f"{source.repository}/resolve/{source.revision}/{network.member}")
    return f"{endpoint}/{path}"


def _add(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _hint(card: TopDownCard) -> str:
    return (
        f"Check the network, or name a mirror by {ENDPOINT}. Without a network, give a folder with"
        f" copies of the files: posewatch models pull {card.name} --from FOLDER"
    )


def _fetch(
    url: str, path: Path, size: int, progress: Callable[[int], None], offline_hint: str
) -> None:
    """Download one file; a broken connection is taken up again for as long as each brings more."""
    with path.open("wb") as file:
        while True:
            before = file.tell()
            try:
                _continue(url, file, size, progress)
            except urllib.error.HTTPError as error:
                # It holds the connection, which would only be closed by the garbage collector.
                error.close()
                raise ModelError(
                    f"{url} cannot be downloaded: the server says {error.code} {error.reason}",
                    hint=offline_hint,
                ) from error
            except (_BrokenOffError, urllib.error.URLError, http.client.HTTPException) as error:
                if file.tell() == before:
                    reason = getattr(error, "reason", error)
                    raise ModelError(
                        f"{url} cannot be downloaded: {reason}", hint=offline_hint
                    ) from error
            else:
                return


def _continue(url: str, file: BinaryIO, size: int, progress: Callable[[int], None]) -> None:
    """Fetch what is missing of a file.

    Raises:
        _BrokenOffError: not all of it came.
        urllib.error.URLError, http.client.HTTPException: the server cannot be reached, or refuses.
        OSError: the file cannot be written to.
    """
    done = file.tell()
    request = urllib.request.Request(url)  # noqa: S310 -- `address` has looked at the scheme
    # Some mirrors refuse the one that Python would give.
    request.add_header("User-Agent", f"posewatch/{__version__}")
    if done:
        request.add_header("Range", f"bytes={done}-")
    with urllib.request.urlopen(request, timeout=_SILENCE) as answer:  # noqa: S310 -- as above
        if done and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0
            file.seek(0)
            file.truncate()
        # One byte more than expected is enough to know that it is another file.
        while piece := _read(answer, min(_PIECE, size + 1 - done)):
            file.write(piece)
            done += len(piece)
            progress(min(done, size))
    if done < size:
        raise _BrokenOffError(f"the connection was lost after {done:,} of {size:,} bytes")


def _read(answer: http.client.HTTPResponse, most: int) -> bytes:
    try:
        return answer.read(most)
    except OSError as error:
        raise _BrokenOffError(str(error) or type(error).__name__) from error
