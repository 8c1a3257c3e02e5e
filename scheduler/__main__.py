"""`python -m scheduler --config <crm.json>`: runs what is due; start as many as there are machines, one acts."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Final

import redis

from crm_api.adapters.messages import TwilioSms
from crm_api.adapters.panel_code_drivers import panel_code_drivers
from crm_api.adapters.panel_handsets import panel_handsets
from crm_api.adapters.push_messages import PushMessages
from crm_api.adapters.push_services import push_services
from crm_api.adapters.redis_keys import PANELS_REGISTERED, SCHEDULER_AT_KEY
from crm_api.adapters.registrar import Registrar
from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context
from crm_api.domain.network_addresses import networks_of
from crm_api.services.code_notices import CodeNotices
from crm_api.services.panel_codes import PanelCodes
from crm_api.services.panels_seen import PanelsSeen
from crm_api.services.scheduler_lease import SchedulerLease
from scheduler.asterisk_manager import AsteriskManager
from scheduler.code_steps import TellPanels, TellResidents
from scheduler.jobs import billing_source, make_jobs
from scheduler.panel_lines import PanelLines
from scheduler.panel_rounds import ROUNDS_KEPT, LookForPanels
from scheduler.probe_loading import Callers
from scheduler.probe_runner import RunProbes
from scheduler.process import SchedulerProcess

if TYPE_CHECKING:
    from crm_api.adapters.messages import Messenger
    from crm_api.config import CrmConfig
    from crm_api.services.context import Context
    from crm_api.services.panels_seen import Round
    from scheduler.work import Step

BEAT_S: Final = 1.0
_DEVICES: Final = """
SELECT p.platform, p.token FROM push_tokens p JOIN accounts a ON a.id = p.account_id
WHERE a.account = ? AND p.invalidated_at_ms IS NULL
"""
SILENT_S: Final = 0.5
"""How long Redis may take to hear that we live."""


def make_steps(context: Context, config: CrmConfig, link: redis.Redis, lease: SchedulerLease) -> list[Step]:
    """Return what goes on beside the jobs."""

    def devices(account: str) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in context.database.rows(_DEVICES, (account,))]

    messengers: dict[str, Messenger] = {
        "push": PushMessages(lambda: push_services(config.push), devices, context.now_ms)
    }
    if config.sms is not None:
        messengers["sms"] = TwilioSms(config.sms)
    networks = networks_of(config.device_networks)
    probes: list[Step] = []
    if config.probes is not None:
        nodes = [AsteriskManager(node.host, node.port, node.user, node.secret) for node in config.probes.asterisk]
        lines = PanelLines(link, context.now_ms)
        callers = Callers(nodes, config.probes.kamailio, config.probes.recordings)
        probes.append(RunProbes(context, lines, callers, panel_handsets(networks), lambda: lease.term))

    def told(found: Round) -> None:
        text = json.dumps({**found._asdict(), "at_ms": context.now_ms()})
        link.set(PANELS_REGISTERED, text, ex=int(ROUNDS_KEPT * config.panels_asked_every_s))

    return [
        *probes,
        LookForPanels(PanelsSeen(context, Registrar(config.redis_url)), config.panels_asked_every_s, told),
        TellPanels(PanelCodes(context), panel_code_drivers(networks), config.panel_codes_per_s),
        TellResidents(CodeNotices(context), messengers),
    ]


def _say(link: redis.Redis, at_ms: int) -> None:
    link.set(SCHEDULER_AT_KEY, at_ms)


def run(config: CrmConfig) -> None:
    """Run until SIGTERM."""
    context = make_context(config)
    stopped = stop_on_signal()
    link = redis.Redis.from_url(config.redis_url, socket_timeout=SILENT_S, socket_connect_timeout=SILENT_S)
    lease = SchedulerLease(context, f"{socket.gethostname()}-{os.getpid()}")
    process = SchedulerProcess(
        context,
        lease,
        jobs=make_jobs(context, billing_source(config), config.probes.recordings if config.probes else None),
        steps=make_steps(context, config, link, lease),
        stopped=stopped,
        say_alive=lambda: _say(link, context.now_ms()),
    )
    process.start()
    try:
        repeat(process.beat, context.database, stopped, BEAT_S)
    finally:
        process.stop()


if __name__ == "__main__":
    start("scheduler", run)
