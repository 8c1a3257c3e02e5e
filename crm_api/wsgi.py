"""`gunicorn crm_api.wsgi:application` with the configuration's path in ENTRYPHONE_CRM_CONFIG."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crm_api.adapters.panel_drivers import panel_drivers
from crm_api.app import create_app
from crm_api.bootstrap import (
    make_context,
    make_plan_cache,
    make_queues,
    make_registrar,
    make_services,
    set_up_logging,
)
from crm_api.config import read_config
from crm_api.domain.network_addresses import networks_of

if TYPE_CHECKING:
    import falcon

    from crm_api.bootstrap import Services
    from crm_api.config import CrmConfig


def build(config: CrmConfig) -> tuple[falcon.App[Any, Any], Services]:
    """Make application and services; called in each worker after the fork, so that nothing open is shared."""
    set_up_logging(config)
    context = make_context(config)
    services = make_services(
        context,
        panel_drivers(networks_of(config.device_networks)),
        public_url=config.public_url,
        twilio_sip_address=config.twilio_sip_address,
        queues=make_queues(config),
        registrar=make_registrar(config),
        probe_recordings=None if config.probes is None else config.probes.recordings,
    )
    return create_app(services, context.database, make_plan_cache(config)), services


def __getattr__(name: str) -> Any:
    if name == "application":
        return build(read_config(Path(os.environ["ENTRYPHONE_CRM_CONFIG"])))[0]
    raise AttributeError(name)
