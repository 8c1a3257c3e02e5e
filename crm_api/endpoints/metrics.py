"""Metrics for whoever watches the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import reads
from crm_api.resources.declaration import Answer, Endpoint, Operation
from crm_api.resources.metrics import Scrape

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

TAG: Final = "About"
TEXT: Final = ("text/plain", "application/openmetrics-text")
_EXAMPLE: Final = 'entryphone_number_pool_free_ratio{city="Riverside",city_id="1"} 0.8\n'


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        Endpoint(
            "/metrics",
            TAG,
            Scrape(services.metrics),
            (
                Operation(
                    "GET",
                    "Read metrics",
                    reads("metrics"),
                    (Answer(200, "In Prometheus' text format", media_types=TEXT, example=_EXAMPLE),),
                    "Looked up at this moment; for those who see all companies.",
                ),
            ),
        ),
    )
