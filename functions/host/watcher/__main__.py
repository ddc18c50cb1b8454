"""``python3 -m watcher SERVICE LINK LOG``: look every few seconds, and report what changed, or now and then.

LINK points to what is live of the service, LOG is nginx's of its requests (hooks/proxy.sh).
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections import deque
from datetime import datetime, timezone
from http import HTTPStatus
from pathlib import Path
from shutil import which

from .looking import AccessLog, WatchedContainer, live
from .verdict import ENDS_SECONDS, Condition, Look, Verdict, following, verdict

SECONDS = float(os.environ.get("ESTEIRA_WATCH_SECONDS", "5"))
BEAT = 300.0  # an event may be lost, and the controller is to know that somebody still looks
OFTEN = 60.0  # while the container is sick, and while it is new
NEW = 600.0
AGAIN = 20.0  # after a report that AWS did not take: the AWS CLI costs a second of processor
METADATA = "169.254.169.254"


class Watcher:
    """The watch over one service on this host."""

    def __init__(self, service: str, host: str, link: Path, log: Path) -> None:
        self._service, self._host, self._link = service, host, link
        self._log = AccessLog(log)
        self._container: WatchedContainer | None = None
        self._looks: deque[Look] = deque(maxlen=1 + int(ENDS_SECONDS * 2 / SECONDS))
        self._condition = Condition(Verdict(), 0.0, 0.0)
        self._began, self._told = 0.0, ""
        self._due, self._again = 0.0, 0.0

    def step(self, now: float) -> None:
        """One look, and a report where one is due. Raises OSError where Docker or AWS cannot be asked."""
        name, accepted = live(self._link)
        self._log.read()
        if not name:
            return
        if self._container is None or self._container.name != name:
            self._container = WatchedContainer(name, accepted)
            self._looks.clear()
            self._condition, self._began = Condition(Verdict(), now, now), now
        container = self._container
        self._looks.append(container.look(now))
        requests = [request for request in self._log.of(name) if request.at >= self._began]
        said = verdict(self._looks, requests, self._log.median_before(name))
        self._condition = following(self._condition, said, now)
        key = f"{name} {self._condition.since}"
        if (key != self._told or now >= self._due) and now >= self._again:
            self._again = now + AGAIN
            put_event(self._report(container), container.image)
            often = self._condition.verdict.sick or now - self._began < NEW
            self._told, self._due, self._again = key, now + (OFTEN if often else BEAT), 0.0

    def _report(self, container: WatchedContainer) -> dict[str, object]:
        condition = self._condition
        return {
            "service": self._service,
            "stage": container.stage,
            "host": self._host,
            "release": container.release,
            "deployment": container.deployment,
            "digest": container.digest,
            "sick": condition.verdict.sick,
            "since": datetime.fromtimestamp(condition.since, timezone.utc).isoformat(),  # noqa: UP017 - Python 3.9
            **condition.verdict.figures,
        }


def put_event(detail: dict[str, object], image: str) -> None:
    """Put the report on the bus, by the host's own role; the Region is the registry's. Raises OSError."""
    aws = which("aws") or "aws"
    entry = {"Source": "esteira.host", "DetailType": "Host Report", "Detail": json.dumps(detail)}
    command = [aws, "events", "put-events", "--output", "json", "--entries", json.dumps([entry])]
    region = re.match(r"\d+\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.", image)
    command += ["--region", region[1]] if region else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(f"aws events put-events: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    if json.loads(done.stdout or "{}").get("FailedEntryCount"):
        raise OSError(f"aws events put-events: {done.stdout}")


def instance_id() -> str:
    """This host's id. Raises OSError."""
    if "ESTEIRA_HOST" in os.environ:
        return os.environ["ESTEIRA_HOST"]
    token = metadata("PUT", "/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return metadata("GET", "/meta-data/instance-id", {"X-aws-ec2-metadata-token": token})


def metadata(method: str, path: str, headers: dict[str, str]) -> str:
    """What the instance's metadata service answers. Raises OSError."""
    connection = http.client.HTTPConnection(METADATA, timeout=5)
    try:
        connection.request(method, f"/latest{path}", headers=headers)
        answer = connection.getresponse()
        if answer.status != HTTPStatus.OK:
            raise OSError(f"the metadata service answered {method} {path} with {answer.status}")
        return answer.read().decode()
    finally:
        connection.close()


def main(service: str, link: str, log: str) -> None:
    """Watch for ever. What fails is said once, and tried again at the next look."""
    watcher, said = Watcher(service, instance_id(), Path(link), Path(log)), ""
    while True:
        why = ""
        try:
            watcher.step(time.time())
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            why = f"{type(error).__name__}: {error}"
        if why and why != said:
            print(f"{datetime.now(timezone.utc):%FT%TZ} could not look after {service}: {why}", flush=True)  # noqa: UP017
        said = why
        time.sleep(SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
