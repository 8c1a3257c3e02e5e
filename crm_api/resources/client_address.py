"""Where a request comes from, also behind proxies of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    import falcon


def client_address(req: falcon.Request, proxies: Collection[str]) -> str:
    """Return the address that counts as the client's.

    Each proxy adds, at the end of `X-Forwarded-For`, the address that it was asked from. So the list is read from its
    end, as long as what tells us is a proxy of ours; whatever a client has written before that is not believed.

    Args:
        req: the request.
        proxies: addresses of our proxies (`trusted_proxies` of the configuration).
    """
    address = req.remote_addr or "unknown"
    told = [part.strip() for part in (req.get_header("X-Forwarded-For") or "").split(",")]
    while address in proxies and told and told[-1]:
        address = told.pop()
    return address
