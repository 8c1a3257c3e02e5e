"""Every kind of job by name: what a run of it does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from crm_api.adapters.billing import CsvBilling, HttpBilling
from crm_api.services.billing import FRESH_MS, Billing
from crm_api.services.call_sounds import remove_expired
from crm_api.services.code_notices import CodeNotices
from crm_api.services.code_renewal import AccessCodeRules, CodeRenewal
from crm_api.services.job_runs import JobRuns
from crm_api.services.probe_recordings import remove_old
from crm_api.tables.models import Company

if TYPE_CHECKING:
    from pathlib import Path

    from crm_api.adapters.billing import BillingSource
    from crm_api.config import CrmConfig
    from crm_api.services.context import Context
    from scheduler.work import Job, Telling


def billing_source(config: CrmConfig) -> BillingSource | None:
    """Return where the customers are known."""
    if config.billing is None:
        return None
    if config.billing.csv is not None:
        return CsvBilling(config.billing.csv)
    return HttpBilling(config.billing.url or "", config.billing.token)


def make_jobs(context: Context, billing: BillingSource | None, recordings: Path | None = None) -> dict[str, Job]:
    """Return what does a run, by the kinds of `crm_api.services.timetable`."""
    runs, customers = JobRuns(context), Billing(context, billing)
    code_notices = CodeNotices(context)
    renewal, rules, one_at_a_time = CodeRenewal(context), AccessCodeRules(context), threading.Lock()

    def clean_up(telling: Telling) -> dict[str, Any]:
        runs.prune()
        sounds = 0
        while removed := remove_expired(context):
            sounds += removed
            telling.tell(sounds)
        notices = 0
        while removed := code_notices.forget():
            notices += removed
            telling.tell(sounds + notices)
        probes = 0 if recordings is None else remove_old(recordings, context.now_ms())
        return {
            "call_sounds_removed": sounds,
            "code_notices_removed": notices,
            "probe_recordings_removed": probes,
        }

    def synchronise(_: Telling) -> dict[str, Any]:
        return customers.synchronise()

    def access_codes(telling: Telling) -> dict[str, Any]:
        company_id = telling.run.company_id
        if company_id is None:
            raise ValueError("access codes are renewed for a company: this job has none")
        told = {"billing": customers.synchronise(FRESH_MS)}
        rules.fill()
        if not Company.get_by_id(company_id).active:
            return {**told, "entrances": 0, "codes": 0, "why": "the company is not active"}
        # One company after the other: their transactions would only wait for one another.
        with one_at_a_time:
            telling.tell(0)
            return {**told, **renewal.renew_company(company_id, telling.run.slot, telling.tell)}

    return {"clean_up": clean_up, "billing": synchronise, "access_codes": access_codes}
