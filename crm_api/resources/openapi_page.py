"""The OpenAPI document, and Swagger UI to read and try it: every file is served from here."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from crm_api.domain.problems import NotFoundError
from crm_api.resources.openapi import openapi_document

if TYPE_CHECKING:
    from collections.abc import Callable

    import falcon

    from crm_api.resources.declaration import Endpoint

PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Entryphone CRM: API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START: Final = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The browser itself refuses whatever would come from elsewhere."""
FILES: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
    "LICENSE": "text/plain; charset=utf-8",
}
"""Files of Swagger UI, as the package swagger-ui-py ships them, with its licence (Apache-2.0)."""


def swagger_ui_directory() -> Path:
    """Return where the package's files are. It is not imported: it is a web framework's add-on."""
    found = importlib.util.find_spec("swagger_ui")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("swagger-ui-py is not installed: run make")
    return Path(found.origin).parent / "static"


class OpenApiDocument:
    """`GET /v1/openapi.json`."""

    def __init__(self, endpoints: Callable[[], tuple[Endpoint, ...]]) -> None:
        self._endpoints = endpoints
        self._encoded: bytes | None = None

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Describe; made when first asked for."""
        if self._encoded is None:
            self._encoded = msgspec.json.encode(openapi_document(self._endpoints()))
        resp.content_type = "application/json"
        resp.data = self._encoded


class OpenApiPage:
    """`GET /v1/docs`."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Show the page."""
        _send_text(resp, PAGE, "text/html; charset=utf-8")


class OpenApiPageFile:
    """`GET /v1/docs/{file}`: one of a few known files."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response, file: str) -> None:
        """Show a file of the page."""
        if file == "start.js":
            _send_text(resp, START, FILES["swagger-ui-bundle.js"])
        elif file in FILES:
            resp.data = (swagger_ui_directory() / file).read_bytes()
            resp.content_type = FILES[file]
            resp.cache_control = ["public", "max-age=86400"]
        else:
            raise NotFoundError.of("file of this page", file)


def _send_text(resp: falcon.Response, text: str, content_type: str) -> None:
    resp.text = text
    resp.content_type = content_type
    resp.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
