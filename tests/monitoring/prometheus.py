"""A real Prometheus that scrapes real daemons every second."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from monitoring.rules import ALERTS, RULES, an_hour_lasts_a_minute, program
from real.daemons import until
from s3.servers import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from real.daemons import Daemon

CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml, alerts.yml]
scrape_configs:
  - job_name: posewatch
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
"""


class Prometheus:
    """Prometheus with posewatch's rules.

    Args:
        folder: an empty one, for its configuration and its data.
        quick: whether the rules' time goes sixty times as fast.
    """

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder = folder
        self._targets: dict[str, Mapping[str, Any]] = {}
        self.url = f"http://127.0.0.1:{free_ports(1)}"
        folder.joinpath("prometheus.yml").write_text(CONFIG)
        for name, file in (("rules.yml", RULES), ("alerts.yml", ALERTS)):
            text = file.read_text(encoding="utf-8")
            folder.joinpath(name).write_text(an_hour_lasts_a_minute(text) if quick else text)
        self._write_targets()

    def __enter__(self) -> Self:
        with self.folder.joinpath("log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- looked up on the path
                [
                    program("prometheus"),
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    f"--web.listen-address={self.url.partition('//')[2]}",
                ],
                cwd=self.folder,
                env={"GOMAXPROCS": "1", "PATH": os.environ["PATH"]},
                stdout=log,
                stderr=log,
            )
        until(self._ready, lambda: f"it starts: {self.folder.joinpath('log').read_text()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()

    def _ready(self) -> bool:
        with suppress(urllib.error.URLError), self._get("/-/ready"):
            return True
        return False

    def _get(self, path: str, **arguments: object) -> Any:  # noqa: ANN401 -- a response of urllib
        query = urllib.parse.urlencode(arguments)
        return urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=20)  # noqa: S310 -- loopback

    def _write_targets(self) -> None:
        new = self.folder / "targets.new"
        new.write_text(json.dumps(list(self._targets.values())))
        new.rename(self.folder / "targets.json")

    def watch(self, daemon: Daemon, **labels: str) -> None:
        """Scrape a daemon that was started, from now on at the port that it has now.

        Args:
            daemon: which; its name is the label `instance`.
            labels: further ones.
        """
        address = daemon.says("metrics and health are served")["address"]
        host = urllib.parse.urlsplit(address).netloc
        self._targets[daemon.name] = {
            "targets": [host],
            "labels": {"instance": daemon.name, **labels},
        }
        self._write_targets()

    def forget(self, daemon: Daemon) -> None:
        """Scrape a daemon no more."""
        del self._targets[daemon.name]
        self._write_targets()

    def ask(self, path: str, **arguments: object) -> Any:  # noqa: ANN401 -- JSON
        """What its API answers.

        Raises:
            AssertionError: with what it complains about.
        """
        try:
            with self._get(f"/api/v1/{path}", **arguments) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{arguments}: {error.read().decode()}") from error

    def value(self, query: str) -> float | None:
        """The value of a query with one series; None without one."""
        found = self.ask("query", query=query)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def firing(self, **labels: str) -> set[str]:
        """The alerts that fire now, with such labels."""
        return {
            alert["labels"]["alertname"]
            for alert in self.ask("alerts")["alerts"]
            if alert["state"] == "firing" and labels.items() <= alert["labels"].items()
        }

    def fires(self, *alerts: str, seconds: float = 90, **labels: str) -> None:
        """Wait until these fire."""
        until(
            lambda: set(alerts) <= self.firing(**labels),
            lambda: f"{alerts} fire; {self.firing(**labels)} do",
            seconds,
            every=0.3,
        )

    def clears(self, *alerts: str, seconds: float = 150, **labels: str) -> None:
        """Wait until none of these fires."""
        until(
            lambda: not set(alerts) & self.firing(**labels),
            lambda: f"{alerts} clear; {self.firing(**labels)} fire",
            seconds,
            every=0.3,
        )
