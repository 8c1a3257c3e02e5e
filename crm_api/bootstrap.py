"""Wiring, and nothing else: configuration in, collaborators and services out."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from crm_api.adapters.encryption import Encryption
from crm_api.adapters.panel_drivers import panel_drivers
from crm_api.adapters.password_hashing import AT_ONCE, PasswordHashing
from crm_api.adapters.plan_cache import PlanCache
from crm_api.adapters.redis_queues import RedisQueues
from crm_api.adapters.registrar import Registrar
from crm_api.adapters.twilio_numbers import TwilioNumberSource
from crm_api.config import ConfigError
from crm_api.log_output import log_output, on_one_line
from crm_api.services.access_codes import AccessCodes
from crm_api.services.account_contacts import AccountContacts
from crm_api.services.accounts import Accounts
from crm_api.services.apartments import Apartments
from crm_api.services.audit_log import AuditLog
from crm_api.services.call_sounds import CallSounds
from crm_api.services.city_numbers import CityNumbers
from crm_api.services.code_entries import CodeEntries, CodeLocks
from crm_api.services.code_notices import CodeNotices
from crm_api.services.code_renewal import AccessCodeRules, CodeRenewal
from crm_api.services.concierge_desks import ConciergeDesks
from crm_api.services.context import Context
from crm_api.services.door_openings import DoorOpenings
from crm_api.services.emergency_calls import EmergencyCalls, EmergencyFindings, EmergencyNotices, EmergencyPath
from crm_api.services.emergency_centres import EmergencyCentres, EmergencyRules
from crm_api.services.emergency_checks import EmergencyChecks
from crm_api.services.emergency_tests import EmergencyTests
from crm_api.services.entrance_handsets import EntranceHandsets
from crm_api.services.entry_reports import EntryReports
from crm_api.services.gates import Gates
from crm_api.services.group_work import GroupWork
from crm_api.services.groups import GroupApartments, GroupMembers, Groups
from crm_api.services.history import AccessRecords, CallRecords
from crm_api.services.imports import Imports
from crm_api.services.job_runs import JobRuns
from crm_api.services.job_work import JobWork
from crm_api.services.jobs import Jobs
from crm_api.services.key_uses import KeyUses
from crm_api.services.keys import Keys
from crm_api.services.message_pictures import MessagePictures
from crm_api.services.message_sounds import MessageSounds
from crm_api.services.metrics import Metrics
from crm_api.services.number_leases import NumberLeases
from crm_api.services.panel_codes import PanelCodes
from crm_api.services.panels import Panels
from crm_api.services.phone_statements import PhoneStatements
from crm_api.services.places import Cities, Companies, Entrances, Houses
from crm_api.services.planning import Planning
from crm_api.services.principals import ServiceAccounts, Staff
from crm_api.services.probe_campaigns import ProbeCalls, ProbeCampaigns
from crm_api.services.probe_pictures import ProbePictures
from crm_api.services.probe_recordings import ProbeRecordings
from crm_api.services.probe_results import ProbeResults
from crm_api.services.push_tokens import PushTokens
from crm_api.services.relays import Relays
from crm_api.services.residents import Residents
from crm_api.services.rules import BlockKinds, Blocks, RingPlans
from crm_api.services.scheduled_jobs import ScheduledJobs
from crm_api.services.search import Search
from crm_api.services.sessions import ApiTokens, Sessions
from crm_api.services.tokens import Tokens
from crm_api.services.trunks import Trunks
from crm_api.services.visitor_pictures import VisitorPictures
from crm_api.services.voice_webhooks import VoiceWebhooks
from crm_api.services.webhooks import WebhookDeliveries, Webhooks
from crm_api.tables.database import CrmDatabase

if TYPE_CHECKING:
    from pathlib import Path

    from crm_api.adapters.panel_drivers import PanelDriver
    from crm_api.config import CrmConfig
    from crm_api.services.account_contacts import Registrar as AsksRegistrar
    from crm_api.services.metrics import Queues


@dataclass(frozen=True)
class Services:
    """Everything that the resources call."""

    cities: Cities
    companies: Companies
    houses: Houses
    entrances: Entrances
    apartments: Apartments
    gates: Gates
    accounts: Accounts
    account_contacts: AccountContacts
    push_tokens: PushTokens
    panels: Panels
    relays: Relays
    keys: Keys
    access_codes: AccessCodes
    block_kinds: BlockKinds
    blocks: Blocks
    ring_plans: RingPlans
    concierge_desks: ConciergeDesks
    trunks: Trunks
    phone_statements: PhoneStatements
    visitor_pictures: VisitorPictures
    message_pictures: MessagePictures
    message_sounds: MessageSounds
    voice_webhooks: VoiceWebhooks
    webhooks: Webhooks
    webhook_deliveries: WebhookDeliveries
    jobs: Jobs
    job_work: JobWork
    scheduled_jobs: ScheduledJobs
    code_renewal: CodeRenewal
    access_code_rules: AccessCodeRules
    panel_codes: PanelCodes
    probe_campaigns: ProbeCampaigns
    probe_calls: ProbeCalls
    probe_results: ProbeResults
    probe_pictures: ProbePictures
    probe_recordings: ProbeRecordings
    entrance_handsets: EntranceHandsets
    code_notices: CodeNotices
    job_runs: JobRuns
    imports: Imports
    entry_reports: EntryReports
    key_uses: KeyUses
    planning: Planning
    door_openings: DoorOpenings
    code_entries: CodeEntries
    code_locks: CodeLocks
    call_sounds: CallSounds
    call_records: CallRecords
    access_records: AccessRecords
    tokens: Tokens
    residents: Residents
    groups: Groups
    group_members: GroupMembers
    group_apartments: GroupApartments
    group_work: GroupWork
    staff: Staff
    service_accounts: ServiceAccounts
    api_tokens: ApiTokens
    sessions: Sessions
    audit_log: AuditLog
    emergency_centres: EmergencyCentres
    emergency_rules: EmergencyRules
    city_numbers: CityNumbers
    number_leases: NumberLeases
    emergency_path: EmergencyPath
    emergency_calls: EmergencyCalls
    emergency_findings: EmergencyFindings
    emergency_notices: EmergencyNotices
    emergency_checks: EmergencyChecks
    emergency_tests: EmergencyTests
    twilio_numbers: TwilioNumberSource
    search: Search
    metrics: Metrics


def make_context(config: CrmConfig) -> Context:
    """Open the database and read the key.

    Raises:
        ConfigError: one of the two cannot be what `crm.json` says.
    """
    try:
        database = CrmDatabase(config.database_url)
    except OSError as error:
        raise ConfigError(f"database_url: {error}: make the directory, or name another file") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    try:
        encryption = Encryption.from_file(config.encryption_key_file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"encryption_key_file {config.encryption_key_file}: {error}") from error
    return Context(
        database=database,
        realm=config.sip_domain,
        encryption=encryption,
        passwords=PasswordHashing(at_once=max(1, min(AT_ONCE, config.threads // 2))),
        trusted_proxies=frozenset(config.trusted_proxies),
    )


def make_services(
    context: Context,
    drivers: dict[str, PanelDriver] | None = None,
    public_url: str = "",
    twilio_sip_address: str | None = None,
    queues: Queues | None = None,
    *,
    registrar: AsksRegistrar | None = None,
    probe_recordings: Path | None = None,
) -> Services:
    """Make the services on one context."""
    drivers = panel_drivers() if drivers is None else drivers
    planning = Planning(context)
    jobs = Jobs(context)
    imports, group_work = Imports(context, jobs), GroupWork(context, jobs)
    access_codes = AccessCodes(context)
    door_openings = DoorOpenings(context, planning, drivers)
    return Services(
        cities=Cities(context),
        companies=Companies(context),
        houses=Houses(context),
        entrances=Entrances(context),
        apartments=Apartments(context),
        gates=Gates(context),
        accounts=Accounts(context),
        account_contacts=AccountContacts(context, registrar),
        push_tokens=PushTokens(context),
        panels=Panels(context),
        relays=Relays(context),
        keys=Keys(context),
        access_codes=access_codes,
        block_kinds=BlockKinds(context),
        blocks=Blocks(context),
        ring_plans=RingPlans(context),
        concierge_desks=ConciergeDesks(context),
        trunks=Trunks(context),
        phone_statements=PhoneStatements(context),
        webhooks=Webhooks(context),
        webhook_deliveries=WebhookDeliveries(context),
        visitor_pictures=VisitorPictures(context, drivers, public_url),
        message_pictures=MessagePictures(context, drivers, public_url),
        message_sounds=MessageSounds(context, public_url),
        voice_webhooks=VoiceWebhooks(context, public_url, twilio_sip_address),
        jobs=jobs,
        job_work=JobWork(jobs, {"import": imports, "group": group_work}),
        scheduled_jobs=ScheduledJobs(context),
        code_renewal=CodeRenewal(context),
        access_code_rules=AccessCodeRules(context),
        panel_codes=PanelCodes(context),
        probe_campaigns=ProbeCampaigns(context),
        probe_calls=ProbeCalls(context),
        probe_results=ProbeResults(context),
        probe_pictures=ProbePictures(context),
        probe_recordings=ProbeRecordings(context, probe_recordings),
        entrance_handsets=EntranceHandsets(context),
        code_notices=CodeNotices(context),
        job_runs=JobRuns(context),
        imports=imports,
        entry_reports=EntryReports(context),
        key_uses=KeyUses(context),
        planning=planning,
        door_openings=door_openings,
        code_entries=CodeEntries(context, access_codes, door_openings),
        code_locks=CodeLocks(context),
        call_sounds=CallSounds(context, planning),
        call_records=CallRecords(context),
        access_records=AccessRecords(context),
        tokens=Tokens(context),
        residents=Residents(context),
        groups=Groups(context),
        group_members=GroupMembers(context),
        group_apartments=GroupApartments(context),
        group_work=group_work,
        staff=Staff(context),
        service_accounts=ServiceAccounts(context),
        api_tokens=ApiTokens(context),
        sessions=Sessions(context),
        audit_log=AuditLog(context),
        emergency_centres=EmergencyCentres(context),
        emergency_rules=EmergencyRules(context),
        city_numbers=CityNumbers(context),
        number_leases=NumberLeases(context),
        emergency_path=EmergencyPath(context),
        emergency_calls=EmergencyCalls(context),
        emergency_findings=EmergencyFindings(context),
        emergency_notices=EmergencyNotices(context),
        emergency_checks=EmergencyChecks(context),
        emergency_tests=EmergencyTests(context),
        twilio_numbers=TwilioNumberSource(),
        search=Search(context),
        metrics=Metrics(context, queues),
    )


def make_plan_cache(config: CrmConfig) -> PlanCache:
    """Make the client of Redis (nothing is connected yet)."""
    return PlanCache(config.redis_url)


def make_queues(config: CrmConfig) -> RedisQueues:
    """Make what looks into Redis (nothing is connected yet)."""
    return RedisQueues(config.redis_url)


def make_registrar(config: CrmConfig) -> Registrar:
    """Make what asks Kamailio who is registered, in Redis (nothing is connected yet)."""
    return Registrar(config.redis_url, at_once=max(1, config.threads // 2))


def set_up_logging(config: CrmConfig) -> None:
    """Log one line of key=value pairs per event to standard error."""
    level = getattr(logging, config.log_level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
            on_one_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=log_output(sys.stderr)),
    )
