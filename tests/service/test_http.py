from __future__ import annotations

import http.client
import socket
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import SettingsError
from posewatch.service.http import HttpServer, Limits, is_local
from posewatch.service.pages import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENT = 10.0  # seconds that a test waits for what must happen


def echo(request: Request) -> Answer:
    return Answer.text(HTTPStatus.OK, request.path)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    server = HttpServer(echo, port=0)
    yield server
    server.close()


def raw(server: HttpServer, request: bytes) -> bytes:
    """All that the server answers to these bytes."""
    with socket.create_connection(server.address, PATIENT) as client:
        client.sendall(request)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENT
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_a_page_is_served_with_careful_headers(server: HttpServer) -> None:
    client = http.client.HTTPConnection(*server.address, timeout=PATIENT)
    client.request("GET", "/metrics?x=1#y")
    response = client.getresponse()
    assert response.status == HTTPStatus.OK
    assert response.read() == b"/metrics\n"
    headers = dict(response.getheaders())
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Connection"] == "close"
    assert headers["Server"] == "posewatch"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


def test_head_has_no_body(server: HttpServer) -> None:
    answer = raw(server, b"HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == HTTPStatus.OK
    assert b"Content-Length: 3" in head
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "FOO"])
def test_only_get_and_head(server: HttpServer, method: str) -> None:
    answer = raw(server, f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert status(answer) == HTTPStatus.METHOD_NOT_ALLOWED
    assert b"\r\nAllow: GET, HEAD\r\n" in answer


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.0\r\n\r\n", HTTPStatus.OK),
        (b"nonsense\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        (b"GET / HTTP/x\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        (b"GET /" + b"x" * 100_000, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 120 + b"\r\n",
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
    ],
)
def test_bad_requests_are_refused(
    server: HttpServer, request_bytes: bytes, expected: HTTPStatus
) -> None:
    with socket.create_connection(server.address, PATIENT) as client:
        try:
            client.sendall(request_bytes)
            answer = client.recv(65536)
        except (ConnectionResetError, BrokenPipeError):  # it may hang up on what it will not read
            assert expected == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        else:
            assert status(answer) == expected
    assert status(raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == HTTPStatus.OK


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:9477", True),
        ("LOCALHOST", True),
        ("127.0.0.1:9477", True),
        ("127.8.8.8", True),
        ("[::1]:9477", True),
        ("evil.example", False),
        ("evil.example:9477", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.1.2", False),
        ("user@evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_page_from_elsewhere_cannot_pose_as_this_machine(host: str, *, expected: bool) -> None:
    assert is_local(host, frozenset({"localhost"})) is expected


def test_dns_rebinding_is_refused(server: HttpServer) -> None:
    answer = raw(server, b"GET /secret HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert status(answer) == HTTPStatus.MISDIRECTED_REQUEST
    assert b"secret" not in answer.partition(b"\r\n\r\n")[2]


def test_a_page_has_a_policy_of_its_own() -> None:
    def answer(request: Request) -> Answer:
        return Answer(HTTPStatus.OK, request.accept, b"", "script-src 'sha256-x'")

    server = HttpServer(answer, port=0)
    try:
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nAccept: */*\r\n\r\n"
        lines = raw(server, request).split(b"\r\n")
    finally:
        server.close()
    policies = [line for line in lines if line.startswith(b"Content-Security-Policy:")]
    assert policies == [b"Content-Security-Policy: script-src 'sha256-x'"]
    assert b"Content-Type: text/html,*/*" in lines


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("0.0.0.0", False)])  # noqa: S104 -- that is the test
def test_pages_are_told_who_can_ask(host: str, *, loopback: bool) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return echo(request)

    server = HttpServer(answer, host=host, port=0)
    try:
        with socket.create_connection(("127.0.0.1", server.address[1]), PATIENT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            read_all(client)
    finally:
        server.close()
    assert asked == [Request("/", "*/*", loopback=loopback)]


def test_whoever_binds_it_to_the_network_may_use_any_name() -> None:
    server = HttpServer(echo, host="0.0.0.0", port=0)  # noqa: S104 -- that is the test
    try:
        with socket.create_connection(("127.0.0.1", server.address[1]), PATIENT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: gpu1.lan:9477\r\n\r\n")
            assert status(read_all(client)) == HTTPStatus.OK
    finally:
        server.close()


def test_ipv6_loopback_is_possible() -> None:
    try:
        server = HttpServer(echo, host="::1", port=0)
    except SettingsError:
        pytest.skip("this machine has no IPv6")
    try:
        assert server.url.startswith("http://[::1]:")
        answer = raw(server, b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        assert status(answer) == HTTPStatus.OK
    finally:
        server.close()


def test_a_taken_port_is_a_setting_error_that_names_the_setting(server: HttpServer) -> None:
    threads = threading.active_count()
    port = server.address[1]
    with pytest.raises(SettingsError, match=rf"http\.port: .* 127\.0\.0\.1 port {port} already"):
        HttpServer(echo, port=port)
    assert threading.active_count() == threads


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "not a host"])
def test_an_address_that_is_not_ours_is_a_setting_error(host: str) -> None:
    with pytest.raises(SettingsError, match=r"http\.host"):
        HttpServer(echo, host=host, port=0)


def test_a_closed_port_can_be_used_again_at_once(server: HttpServer) -> None:
    port = server.address[1]
    raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    server.close()
    again = HttpServer(echo, port=port)
    again.close()


def test_a_hanging_page_delays_nobody_else_and_not_the_end() -> None:
    entered, leave = threading.Event(), threading.Event()

    def answer(request: Request) -> Answer:
        if request.path == "/hang":
            entered.set()
            leave.wait(PATIENT)
        return echo(request)

    server = HttpServer(answer, port=0)
    client = socket.create_connection(server.address, PATIENT)
    client.sendall(b"GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert entered.wait(PATIENT)
    assert status(raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == HTTPStatus.OK
    start = time.monotonic()
    server.close()
    assert time.monotonic() - start < 1
    leave.set()
    client.close()
    assert eventually(lambda: not any(t.name.startswith("http") for t in threading.enumerate()))


def test_closing_ends_silent_clients_and_every_thread(server: HttpServer) -> None:
    clients = [socket.create_connection(server.address, PATIENT) for _ in range(5)]
    for client in clients[:3]:
        client.sendall(b"GET / HT")
    assert eventually(
        lambda: sum(t.name == "http-client" for t in threading.enumerate()) == len(clients)
    )
    start = time.monotonic()
    server.close()
    assert time.monotonic() - start < 1
    assert not any(t.name.startswith("http") for t in threading.enumerate())
    for client in clients:
        assert client.recv(10) == b""
        client.close()
    server.close()


def test_a_client_that_trickles_is_cut_off() -> None:
    server = HttpServer(echo, port=0, limits=Limits(read_seconds=0.2))
    try:
        with socket.create_connection(server.address, PATIENT) as client:
            start = time.monotonic()
            assert client.recv(10) == b""
            assert 0.1 < time.monotonic() - start < PATIENT / 2
    finally:
        server.close()


def test_a_client_that_does_not_read_is_cut_off() -> None:
    def answer(request: Request) -> Answer:
        return Answer.text(HTTPStatus.OK, request.path * 20_000_000)

    server = HttpServer(answer, port=0, limits=Limits(write_seconds=0.2))
    try:
        with socket.create_connection(server.address, PATIENT) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1)
            assert eventually(
                lambda: not any(t.name == "http-client" for t in threading.enumerate())
            )
    finally:
        server.close()


def test_no_more_clients_than_allowed() -> None:
    server = HttpServer(echo, port=0, limits=Limits(connections=2, read_seconds=60))
    try:
        waiting = [socket.create_connection(server.address, PATIENT) for _ in range(2)]
        assert eventually(lambda: sum(t.name == "http-client" for t in threading.enumerate()) == 2)
        with socket.create_connection(server.address, PATIENT) as third:
            assert third.recv(10) == b""
        waiting.pop().close()

        def served() -> bool:
            try:
                answer = raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            except ConnectionResetError:
                return False
            return answer != b"" and status(answer) == HTTPStatus.OK

        assert eventually(served)
        waiting.pop().close()
    finally:
        server.close()


def test_a_bug_is_logged_and_the_server_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    def answer(request: Request) -> Answer:
        if request.path == "/bug":
            raise RuntimeError("bug")
        return echo(request)

    server = HttpServer(answer, port=0)
    try:
        assert raw(server, b"GET /bug HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        assert "bug" in caplog.text
        assert status(raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == HTTPStatus.OK
    finally:
        server.close()


def test_a_thread_that_cannot_be_started_costs_one_client_only(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError(f"can't start new thread {thread.name}")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
    assert "could not be served" in caplog.text
    assert status(raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == HTTPStatus.OK
