"""Names with a slash in paths: what says `%2F` is part of a name, as a Call-ID may hold it (RFC 3261, 25.1 "word")."""

from __future__ import annotations

from typing import Any

import falcon


class SlashesInNames:
    """Middleware: WSGI decodes a path before it is cut at its slashes; the server's own words tell them apart.

    gunicorn has the request's target as it came in `RAW_URI`.
    """

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Route by the path as it came, when a name in it holds a slash."""
        path = str(req.env.get("RAW_URI", "")).partition("?")[0]
        req.context.has_slashes = path.startswith("/") and "%2f" in path.lower()
        if req.context.has_slashes:
            req.path = path

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, _resource: Any, params: dict[str, Any]
    ) -> None:
        """Decode the names that were cut out of it."""
        if req.context.has_slashes:
            params.update(
                {
                    name: falcon.uri.decode(value, unquote_plus=False)
                    for name, value in params.items()
                    if isinstance(value, str)
                }
            )
