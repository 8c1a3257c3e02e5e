"""Quality probes: campaigns, what they would do, and what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import probes as asked
from crm_api.domain.outputs import probes as shown
from crm_api.resources.acts import Act
from crm_api.resources.authentication import tenant_of
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept, listed
from crm_api.resources.rendering import send

if TYPE_CHECKING:
    import falcon

    from crm_api.bootstrap import Services
    from crm_api.services.probe_campaigns import ProbeCampaigns

TAG: Final = "Quality probes"
PATH: Final = "/v1/probe-campaigns"


class DryRun:
    """`GET .../{key}/forecast`."""

    def __init__(self, campaigns: ProbeCampaigns) -> None:
        self._campaigns = campaigns

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Tell what the campaign would do."""
        send(resp, self._campaigns.dry_run(tenant_of(req), key))


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    campaigns = services.probe_campaigns
    acts = (
        (
            "start",
            "Start a draft",
            campaigns.start,
            "Whom it calls is decided now, the residents who said no left out.",
        ),
        ("pause", "Pause a campaign", campaigns.pause, "Calls that run end as they would."),
        ("resume", "Let a campaign go on", campaigns.resume, ""),
        ("stop", "End a campaign for good", campaigns.stop, "Calls that run end as they would."),
    )
    return (
        *kept(
            PATH,
            tag=TAG,
            plural="probe campaigns",
            service=campaigns,
            query=asked.ProbeCampaignQuery,
            document=shown.ProbeCampaignDocument,
            new=asked.NewProbeCampaign,
            change=asked.ProbeCampaignChange,
            readers=reads("probes"),
            writers=changes("probes"),
        ),
        *(
            Endpoint(
                f"{PATH}/{ID}/{verb}",
                TAG,
                Act(act),
                (
                    Operation(
                        "POST",
                        summary,
                        changes("probes"),
                        (Answer(200, "The campaign", shown.ProbeCampaignDocument, headers=("ETag",)),),
                        description,
                        problems=frozenset({"conflict"}),
                    ),
                ),
                id_key("probe campaign"),
            )
            for verb, summary, act, description in acts
        ),
        Endpoint(
            f"{PATH}/{ID}/forecast",
            TAG,
            DryRun(campaigns),
            (
                Operation(
                    "GET",
                    "What a campaign would call, and when it would end",
                    reads("probes"),
                    (Answer(200, "The forecast: a dry run on a simulated clock", shown.ProbeForecast),),
                ),
            ),
            id_key("probe campaign"),
        ),
        listed(
            "/v1/probe-calls",
            tag=TAG,
            plural="probe calls",
            service=services.probe_calls,
            query=asked.ProbeCallQuery,
            document=shown.ProbeCallDocument,
            readers=reads("probes"),
        ),
    )
