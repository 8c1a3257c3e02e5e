"""What the API says about itself: the OpenAPI document, and the page to read and try it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.resources.declaration import Answer, Endpoint, Key, Operation
from crm_api.resources.openapi_page import OpenApiDocument, OpenApiPage, OpenApiPageFile

if TYPE_CHECKING:
    from collections.abc import Callable

TAG = "About"


def endpoints(all_endpoints: Callable[[], tuple[Endpoint, ...]]) -> tuple[Endpoint, ...]:
    """Declare them.

    Args:
        all_endpoints: returns every endpoint, these included.
    """
    document = Answer(200, "OpenAPI 3.1", media_types=("application/json",), example={"openapi": "3.1.0"})
    page = Answer(200, "A page", media_types=("text/html",), example="<!doctype html>...")
    files = ("text/css", "text/javascript", "image/png", "text/plain")
    return (
        Endpoint(
            "/v1/openapi.json",
            TAG,
            OpenApiDocument(all_endpoints),
            (Operation("GET", "This document", None, (document,)),),
        ),
        Endpoint("/v1/docs", TAG, OpenApiPage(), (Operation("GET", "Read and try the API", None, (page,)),)),
        Endpoint(
            "/v1/docs/{file}",
            TAG,
            OpenApiPageFile(),
            (Operation("GET", "A file of that page", None, (Answer(200, "The file", media_types=files, example=""),)),),
            {"file": Key("name of the file", "swagger-ui.css")},
        ),
    )
