"""A town at rest: nothing in it has just been changed, and every node is counted upon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import redis

from lab.probes import kamailio_rpc

if TYPE_CHECKING:
    from lab.settings import LabSettings


def await_rest(settings: LabSettings, timeout_s: float = 30.0) -> None:
    """Wait until what the CRM has changed up to now is delivered and its tombstones are gone.

    For two seconds after a change, or after Redis started anew, no plan is cached and no last known permission is
    trusted: stories about servers that die are about a town at rest.
    """
    loaded_at_ms, deadline = time.time() * 1000, time.monotonic() + timeout_s
    client: Any = redis.Redis(settings.redis_host, settings.redis_port)
    try:
        while True:
            delivered = int(client.get("ep:crm_delivered_at_ms") or 0) > loaded_at_ms
            if delivered and not any(client.get(key) == b"" for key in client.scan_iter("ep:ring_plan:*")):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the town's changes are not delivered after {timeout_s} s")
            time.sleep(0.05)
    finally:
        client.close()


def await_nodes(settings: LabSettings, timeout_s: float = 30.0) -> None:
    """Wait until Kamailio counts every Asterisk node as up: after a node's start its pings decide, seconds later."""
    deadline = time.monotonic() + timeout_s
    while down := _down(settings):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Kamailio counts {', '.join(sorted(down))} as down after {timeout_s} s")
        time.sleep(0.05)


def _down(settings: LabSettings) -> set[str]:
    """The nodes that are up in none of their sets. The probes' node is off in its set for good."""
    listed: Any = kamailio_rpc(settings.run / "kamailio" / "rpc.sock", "dispatcher.list")["result"]
    nodes = [target["DEST"] for entry in listed["RECORDS"] for target in entry["SET"]["TARGETS"]]
    pinged = {node["URI"] for node in nodes if not node["FLAGS"].startswith("D")}
    return pinged - {node["URI"] for node in nodes if node["FLAGS"] == "AP"}
