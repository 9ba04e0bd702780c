"""Runs the lines of Python that the trial sends, as one NFS client; an answer is the value of R."""

from __future__ import annotations

import json
import socket
import sys
import traceback

PRELUDE = """
import ctypes, errno, os, time
from pathlib import Path
from posewatch.base.clock import SystemClock
from posewatch.base.errors import *
from posewatch.claims.claim import Claim
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.storage.contract import is_hidden, staging_key
from posewatch.storage.posix import PosixStorage
from posewatch.storage.probe import probe
M = "/mnt/nfs/"
storage = PosixStorage(Path(M))
owner = Owner(os.uname().nodename, os.getpid(), "")
claims = Claims(storage, SystemClock(), owner, 6.0, Observer())
def told(action):
    try:
        return repr(action())
    except Exception as error:
        return type(error).__name__
"""


def main() -> None:
    """Answer, line by line, until the machine is switched off."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[1])
    server.listen()
    names: dict[str, object] = {}
    exec(PRELUDE, names)  # noqa: S102 -- that is what it is for
    connection, _ = server.accept()
    with connection.makefile("rw") as lines:
        for line in lines:
            names["R"] = None
            try:
                exec(json.loads(line), names)  # noqa: S102 -- the same
                answer = {"value": names["R"]}
            except Exception:  # noqa: BLE001 -- told to the trial
                answer = {"error": traceback.format_exc()}
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
