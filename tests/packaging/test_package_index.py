from __future__ import annotations

import base64
import hashlib
import http.server
import os
import socket
import ssl
import threading
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import package_index
from package_index import (
    PYPI,
    BootstrapError,
    Sources,
    Wheel,
    download,
    find_link,
    pip_config_files,
    read_sources,
    split_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"a wheel"
WHEEL = Wheel("pip", "pip-1.0-py3-none-any.whl", hashlib.sha256(CONTENT).hexdigest())


class _Index:
    """A package index on loopback: `pages` maps a path to what it answers."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append((self.path, self.headers["Authorization"]))
                page = index.pages.get(self.path)
                self.send_response(200 if page is not None else 404)
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/simple"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def offer(self, href: str, content: bytes = CONTENT) -> None:
        self.pages["/simple/pip/"] = f'<a href="{href}">{WHEEL.filename}</a>'.encode()
        self.pages[f"/files/{WHEEL.filename}"] = content


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Index]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = _Index()
    yield server
    server.close()


class TestSettings:
    def test_without_any_it_is_pypi(self) -> None:
        assert read_sources({}, []) == Sources((PYPI,))

    def test_files_are_read_in_pips_order(self, tmp_path: Path) -> None:
        environ = {"XDG_CONFIG_DIRS": "/a:/b", "PIP_CONFIG_FILE": "/c.conf"}
        assert [str(file) for file in pip_config_files(environ, tmp_path)] == [
            "/a/pip/pip.conf",
            "/b/pip/pip.conf",
            "/etc/pip.conf",
            f"{tmp_path}/.pip/pip.conf",
            f"{tmp_path}/.config/pip/pip.conf",
            "/c.conf",
        ]

    def test_the_null_device_turns_the_files_off(self, tmp_path: Path) -> None:
        assert pip_config_files({"PIP_CONFIG_FILE": os.devnull}, tmp_path) == []

    def test_the_later_file_and_the_narrower_section_win(self, tmp_path: Path) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        first.write_text("[global]\nindex-url = https://one\ncert = /one\n[install]\nproxy = p1\n")
        second.write_text("[global]\nindex_url = https://two\nproxy = p2\n")
        sources = read_sources({}, [first, tmp_path / "missing", second])
        assert sources == Sources(("https://two",), cert="/one", proxy="p1")

    def test_the_environment_wins(self, tmp_path: Path) -> None:
        file = tmp_path / "pip.conf"
        file.write_text("[global]\nindex-url = https://file\n")
        environ = {
            "PIP_INDEX_URL": "https://env",
            "PIP_EXTRA_INDEX_URL": "https://x https://y",
            "PIP_FIND_LINKS": "/wheels file:///more https://elsewhere",
            "PIP_CERT": "/ca.pem",
        }
        assert read_sources(environ, [file]) == Sources(
            ("https://env", "https://x", "https://y"),
            folders=(Path("/wheels"), Path("/more")),
            cert="/ca.pem",
        )

    def test_no_index_leaves_the_folders(self) -> None:
        environ = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
        assert read_sources(environ, []) == Sources((), folders=(Path("/wheels"),))

    def test_a_file_that_is_no_configuration_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "pip.conf"
        file.write_text("index-url = https://no-section\n")
        with pytest.raises(BootstrapError, match=r"pip\.conf is not a pip configuration file"):
            read_sources({}, [file])


class TestLinks:
    @pytest.mark.parametrize(
        ("href", "url"),
        [
            ("pip-1.0-py3-none-any.whl#sha256=00", "https://i/simple/pip/pip-1.0-py3-none-any.whl"),
            ("../../f/pip-1.0-py3-none-any.whl", "https://i/f/pip-1.0-py3-none-any.whl"),
            ("https://f/a/pip%2D1.0-py3-none-any.whl", "https://f/a/pip%2D1.0-py3-none-any.whl"),
            ("pip-1.0-py3-none-any.whl?a=b", "https://i/simple/pip/pip-1.0-py3-none-any.whl?a=b"),
        ],
    )
    def test_the_file_is_found_by_its_name(self, href: str, url: str) -> None:
        page = f'<a href="pip-1.0.tar.gz">x</a><a data-requires-python="&gt;=3" href="{href}">y</a>'
        assert find_link(page, "https://i/simple/pip/", WHEEL.filename) == url

    def test_another_file_is_not_taken_for_it(self) -> None:
        page = '<a href="pip-1.0-py3-none-any.whl.metadata">x</a><a>y</a>'
        assert find_link(page, "https://i/simple/pip/", WHEEL.filename) is None

    def test_credentials_leave_the_address(self) -> None:
        url, header = split_credentials("https://me:p%40ss@host:8443/simple")
        assert url == "https://host:8443/simple"
        assert header == "Basic " + base64.b64encode(b"me:p@ss").decode()
        assert split_credentials("https://host/simple") == ("https://host/simple", None)


class TestDownload:
    def test_from_an_index(self, index: _Index) -> None:
        index.offer(f"../../files/{WHEEL.filename}#sha256=ignored")
        assert download(WHEEL, Sources((index.url + "/",))) == CONTENT

    def test_from_a_folder_before_any_index(self, tmp_path: Path) -> None:
        (tmp_path / WHEEL.filename).write_bytes(CONTENT)
        sources = Sources(("http://127.0.0.1:9/simple",), folders=(tmp_path,))
        assert download(WHEEL, sources) == CONTENT

    def test_from_an_index_in_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "pip").mkdir()
        (tmp_path / "pip" / "index.html").write_text(f'<a href="{WHEEL.filename}">pip</a>')
        (tmp_path / "pip" / WHEEL.filename).write_bytes(CONTENT)
        assert download(WHEEL, Sources((tmp_path.as_uri(),))) == CONTENT

    def test_from_the_second_index_when_the_first_has_it_not(self, index: _Index) -> None:
        index.offer(f"/files/{WHEEL.filename}")
        missing = f"http://{index.host}/other"
        assert download(WHEEL, Sources((missing, index.url))) == CONTENT
        assert index.asked[0][0] == "/other/pip/"

    def test_a_wheel_with_another_digest_is_refused(self, index: _Index) -> None:
        index.offer(f"/files/{WHEEL.filename}", b"something else")
        with pytest.raises(BootstrapError) as caught:
            download(WHEEL, Sources((index.url,)))
        assert "is not the pip-1.0-py3-none-any.whl that is expected" in str(caught.value)
        assert WHEEL.sha256 in str(caught.value)
        assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)

    def test_no_network_says_what_was_tried_and_what_to_do(self) -> None:
        with socket.socket() as nobody_listens:
            nobody_listens.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}/simple"
            with pytest.raises(BootstrapError) as caught:
                download(WHEEL, Sources((address,)))
        message = str(caught.value)
        assert f"{address}/pip/: [Errno 111] Connection refused" in message
        assert "HTTPS_PROXY" in message
        assert "PIP_INDEX_URL" in message

    def test_an_index_without_it_is_told_from_no_network(self, index: _Index) -> None:
        index.pages["/simple/pip/"] = b"<html></html>"
        with pytest.raises(BootstrapError, match="it has no pip-1"):
            download(WHEEL, Sources((index.url,)))

    def test_no_index_at_all_is_said(self) -> None:
        with pytest.raises(BootstrapError, match="configured to use no package index"):
            download(WHEEL, Sources(()))

    def test_a_password_goes_to_its_own_host_only(self, index: _Index) -> None:
        other = _Index()
        try:
            index.offer(f"http://{other.host}/files/{WHEEL.filename}")
            other.offer("")
            secret = index.url.replace("http://", "http://me:secret@")
            assert download(WHEEL, Sources((secret,))) == CONTENT
            assert index.asked[0][1] == "Basic " + base64.b64encode(b"me:secret").decode()
            assert [authorization for _, authorization in other.asked] == [None]
        finally:
            other.close()

    def test_a_password_is_never_shown(self, index: _Index) -> None:
        secret = index.url.replace("http://", "http://me:secret@")
        with pytest.raises(BootstrapError) as caught:
            download(WHEEL, Sources((secret,)))
        assert "secret" not in str(caught.value)


class TestCertificates:
    """With no certificates installed, no server can be verified."""

    @pytest.fixture(autouse=True)
    def unverifiable(self, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
        verified: list[bool] = []

        def read(
            url: str, _: Sources, authorization: str | None, context: ssl.SSLContext
        ) -> tuple[bytes, str]:
            verified.append(context.verify_mode == ssl.CERT_REQUIRED)
            if verified[-1]:
                raise urllib.error.URLError(ssl.SSLCertVerificationError("no local issuer"))
            assert authorization is None
            return (CONTENT if url.endswith(".whl") else b'<a href="%b">' % name), url

        name = WHEEL.filename.encode()
        monkeypatch.setattr(package_index, "_read", read)
        return verified

    def test_the_pinned_digest_is_enough(self, unverifiable: list[bool]) -> None:
        assert download(WHEEL, Sources(("https://i/simple",))) == CONTENT
        assert unverifiable == [True, False, True, False]

    def test_a_password_is_not_sent_to_an_unverified_server(self, unverifiable: list[bool]) -> None:
        with pytest.raises(BootstrapError, match="no local issuer"):
            download(WHEEL, Sources(("https://me:secret@i/simple",)))
        assert unverifiable == [True]
