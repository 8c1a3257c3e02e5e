"""`GET /metrics`: what Prometheus scrapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.resources.authentication import tenant_of

if TYPE_CHECKING:
    import falcon

    from crm_api.services.metrics import Metrics


class Scrape:
    """Tells all metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Tell."""
        resp.data, resp.content_type = self._metrics.told(tenant_of(req), req.accept)
        resp.cache_control = ["no-store"]
