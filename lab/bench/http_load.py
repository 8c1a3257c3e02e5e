"""HTTP requests at a rate, over connections that stay open: what each took, counted from when it was due."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT_S: Final = 30.0
CONNECTIONS: Final = 4


@dataclass
class Answers:
    """What came back: milliseconds of every request by its place in the list, statuses, the first unexpected answer."""

    times_ms: list[float]
    bodies: list[bytes] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    unexpected: str = ""
    elapsed_s: float = 0.0

    @property
    def all_ok(self) -> bool:
        """Whether every request was answered 200."""
        return set(self.statuses) == {http.HTTPStatus.OK}


def request_all(host: str, port: int, token: str, paths: Sequence[str], rate_per_s: float) -> Answers:
    """GET every path, so many a second.

    A request that had to wait for its connection has waited: time counts from the moment it was due.

    Args:
        host: of the server.
        port: of the server.
        token: bearer token; empty for none.
        paths: what to GET, in this order.
        rate_per_s: requests a second.
    """
    answers = Answers([0.0] * len(paths), [b""] * len(paths))
    lock, started = threading.Lock(), time.monotonic() + 0.05

    def work(first: int) -> None:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.connect()
        for index in range(first, len(paths), CONNECTIONS):
            due = started + index / rate_per_s
            wait_s = due - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)  # this is the rate
            connection.request("GET", paths[index], headers=headers)
            response = connection.getresponse()
            answers.bodies[index] = response.read()
            answers.times_ms[index] = (time.monotonic() - due) * 1000
            with lock:
                answers.statuses[response.status] += 1
                if response.status != http.HTTPStatus.OK and not answers.unexpected:
                    answers.unexpected = f"{paths[index]}: {response.status} {answers.bodies[index][:300]!r}"
        connection.close()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.elapsed_s = time.monotonic() - started
    return answers
