"""The Falcon application: what is declared in `crm_api.endpoints`, and nothing else, is routed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import falcon

from crm_api.endpoints import (
    about,
    access,
    call_sounds,
    calls,
    codes,
    devices,
    emergency,
    jobs,
    keys,
    metrics,
    people,
    phones,
    places,
    probes,
    reports,
    rules,
    schedule,
    search,
    twilio,
    webhooks,
)
from crm_api.resources.authentication import Authentication
from crm_api.resources.declaration import add_routes
from crm_api.resources.rendering import install_error_handlers
from crm_api.resources.slashes_in_names import SlashesInNames

if TYPE_CHECKING:
    from crm_api.adapters.plan_cache import PlanCache
    from crm_api.bootstrap import Services
    from crm_api.resources.declaration import Endpoint
    from crm_api.tables.database import CrmDatabase


def declared(services: Services, database: CrmDatabase, cache: PlanCache) -> tuple[Endpoint, ...]:
    """Return every endpoint, in the order in which the API's page shows them."""
    return (
        *search.endpoints(services),
        *places.endpoints(services),
        *people.endpoints(services),
        *devices.endpoints(services),
        *keys.endpoints(services),
        *codes.endpoints(services),
        *rules.endpoints(services),
        *phones.endpoints(services),
        *twilio.endpoints(services),
        *webhooks.endpoints(services),
        *jobs.endpoints(services),
        *schedule.endpoints(services),
        *probes.endpoints(services),
        *access.endpoints(services),
        *calls.endpoints(services, database, cache),
        *call_sounds.endpoints(services),
        *reports.endpoints(services),
        *emergency.endpoints(services),
        *metrics.endpoints(services),
        *about.endpoints(lambda: declared(services, database, cache)),
    )


def create_app(services: Services, database: CrmDatabase, cache: PlanCache) -> falcon.App[Any, Any]:
    """Make the WSGI application."""
    app: falcon.App[Any, Any] = falcon.App()
    app.add_middleware(SlashesInNames())
    app.add_middleware(Authentication(services.tokens))
    install_error_handlers(app, database)
    add_routes(app, declared(services, database, cache))
    return app
