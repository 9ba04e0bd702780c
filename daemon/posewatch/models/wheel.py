"""Takes the networks out of a wheel, and trusts nothing in it.

The wheel is compared with the card before it is opened, so what is read here is what was looked at
when the card was written; the checks on each member stand on their own all the same. Nothing is
extracted to a path, installed or imported.
"""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING

from posewatch.base.errors import ModelError
from posewatch.models.check import check_file

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.models.cards import TfliteNetwork, WheelCard

_HINT = "Download it again; if that does not help, the package index serves another file."


def check_wheel(path: Path, card: WheelCard) -> None:
    """Compare a wheel with its card.

    Raises:
        ModelError: it cannot be read, or is another file.
    """
    check_file(path, card.source.size, card.source.sha256, hint=_HINT)


def read_networks(path: Path, card: WheelCard) -> dict[str, bytes]:
    """The TFLite files of a card's networks, by network.

    Memory is bounded by the sizes on the card, whatever the archive claims.

    Raises:
        ModelError: the archive is damaged, or a member is missing, doubled, or not the one on the
            card.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {network.name: _member(archive, network) for network in card.networks}
    except ModelError:
        raise
    except Exception as error:  # whatever a damaged archive makes the standard library stumble over
        raise ModelError(f"Cannot unpack {path}: {error}", hint=_HINT) from error


def _member(archive: zipfile.ZipFile, network: TfliteNetwork) -> bytes:
    entries = [entry for entry in archive.infolist() if entry.filename == network.member]
    if len(entries) != 1:
        raise ModelError(
            f"The wheel has {len(entries)} members {network.member}; expected 1", hint=_HINT
        )
    with archive.open(entries[0]) as file:
        data = file.read(network.size + 1)
    if len(data) != network.size:
        raise ModelError(
            f"{network.member} has {'more' if len(data) > network.size else 'fewer'} bytes than"
            f" expected ({network.size})",
            hint=_HINT,
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest != network.sha256:
        raise ModelError(
            f"{network.member} has sha256 {digest}; expected {network.sha256}", hint=_HINT
        )
    return data
