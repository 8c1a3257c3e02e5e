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
            (
                Operation(
                    "GET",
                    "This document",
                    None,
                    (document,),
                    "OpenAPI 3.1, for programs that make clients or tests of it. It changes with the release alone.",
                ),
            ),
        ),
        Endpoint(
            "/v1/docs",
            TAG,
            OpenApiPage(),
            (
                Operation(
                    "GET",
                    "Read and try the API",
                    None,
                    (page,),
                    "This document in Swagger UI, for a browser. A token that is given under Authorize is sent with "
                    "what is tried, in earnest; the page keeps none, and loads nothing from elsewhere.",
                ),
            ),
        ),
        Endpoint(
            "/v1/docs/{file}",
            TAG,
            OpenApiPageFile(),
            (
                Operation(
                    "GET",
                    "A file of that page",
                    None,
                    (Answer(200, "The file", media_types=files, example=".swagger-ui {color: #3b4151}"),),
                    "Scripts, styles and the icon of Swagger UI, and its licence; no other file is there (404).",
                ),
            ),
            {"file": Key("name of the file", "swagger-ui.css")},
        ),
    )
