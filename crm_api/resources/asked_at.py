"""When a request came, which may be long before it is served: this server stood still, or requests queued up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from crm_api.client_socket import ClientSocket

if TYPE_CHECKING:
    import falcon


def asked_at_s(req: falcon.Request) -> float:
    """Return when the last of the request came (monotonic seconds); now, where no connection of ours tells."""
    now_s = time.monotonic()  # before it is asked how long ago: whoever stands still in between only asks too early
    peer = req.env.get("gunicorn.socket")
    return now_s - peer.waited_s() if isinstance(peer, ClientSocket) else now_s
