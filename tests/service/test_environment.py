"""What the environment may be like: homes with odd names, locales, proxies, a reader that goes away."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import select

from service.client import Client
from service.settings import Settings
from service.store import Store, arrow
from service.store.schema import clock
from trainers.child_process import python
from trainers.proxies import spare_loopback

ODD = "h?o%m#e ñ%41+&=;"


class Echo(BaseHTTPRequestHandler):
    """Answers every POST with its body."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """A service whose plans are their specs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    settings = Settings.from_environment({"ALLASPRAK_HOME": str(tmp_path / ODD)})
    settings.home.mkdir()
    store = Store(settings.database_url)
    [batch] = arrow.batches(settings.database_url, select(clock.c.now), {"now": int})
    assert batch.to_pylist() == [{"now": 0}]
    store.close()
    assert {path.name.partition("-")[0] for path in settings.home.iterdir()} == {"allasprak.sqlite"}


def test_under_an_ascii_locale_specs_are_utf_8_with_a_mark_or_without_and_so_is_what_is_printed(
    tmp_path: Path, url: str
) -> None:
    ascii_ = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    file = tmp_path / "spec.json"
    file.write_text('{"name": "ñ 中文"}', encoding="utf-8-sig")
    command = [sys.executable, "-P", "-m", "service.cli", "plan", str(file), "--url", url]
    done = subprocess.run(command, env=ascii_, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert json.loads(done.stdout) == {"name": "ñ 中文"}
    missing = subprocess.run([*command[:5], "nichts-ñ.json"], env=ascii_, capture_output=True)
    assert missing.stderr.decode() == "allasprak: [Errno 2] No such file or directory: 'nichts-ñ.json'\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, url: str) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"name": ["x" * 1000] * 1000}), encoding="utf-8")
    command = python("service.cli", "plan", str(file), "--url", url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_proxies_are_not_for_this_machine_and_socks_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    assert Client(url).plan({"name": "x"}) == {"name": "x"}
    if proxy.startswith("socks"):
        with pytest.raises(ConnectionError, match=r"names a SOCKS proxy .* not supported; allowed: an HTTP proxy"):
            Client("http://service.invalid")


@pytest.mark.parametrize("before", [{}, {"NO_PROXY": "a.b,localhost"}, {"no_proxy": "a.b", "NO_PROXY": "other"}])
def test_no_library_asks_a_proxy_for_this_machine(before: dict[str, str]) -> None:
    environment = dict(before)
    spare_loopback(environment)
    spare_loopback(environment)
    names = environment["no_proxy"].split(",")
    assert environment["NO_PROXY"] == environment["no_proxy"]
    assert sorted(names) == sorted({"127.0.0.1", "localhost", "::1"} | ({"a.b"} if before else set()))
