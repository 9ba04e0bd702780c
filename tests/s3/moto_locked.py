"""moto's S3 server with one lock around every request that changes something.

moto judges the condition of a write, and then writes, with nothing in between that would keep two
threads apart. Run as `python moto_locked.py [PORT]`; prints its port.
"""

from __future__ import annotations

import io
import sys
import threading
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class Locked:
    """One change at a time."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        # Whoever waits for a message of a queue would keep everybody else waiting.
        of_a_queue = environ.get("HTTP_X_AMZ_TARGET", "").startswith("AmazonSQS")
        if of_a_queue or environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return self._app(environ, start)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self._lock:
            return list(self._app(environ, start))


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


def main() -> None:
    app = Locked(DomainDispatcherApplication(create_backend_app))
    port = int(sys.argv[1]) if sys.argv[1:] else 0
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
    print(server.port, flush=True)  # noqa: T201 -- for who started it
    server.serve_forever()


if __name__ == "__main__":
    main()
