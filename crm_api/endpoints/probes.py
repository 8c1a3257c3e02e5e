"""Quality probes: campaigns, what they would do, and what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.csv_table import line
from crm_api.domain.inputs import probes as asked
from crm_api.domain.outputs import probes as shown
from crm_api.resources.acts import Act, send_csv
from crm_api.resources.authentication import tenant_of
from crm_api.resources.call_sounds import WAV, WAV_EXAMPLE
from crm_api.resources.declaration import CSV, ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept, listed
from crm_api.resources.rendering import body_of, query_of, send
from crm_api.services.probe_pictures import COLUMNS

if TYPE_CHECKING:
    import falcon

    from crm_api.bootstrap import Services
    from crm_api.services.entrance_handsets import EntranceHandsets
    from crm_api.services.probe_campaigns import ProbeCampaigns
    from crm_api.services.probe_pictures import ProbePictures
    from crm_api.services.probe_recordings import ProbeRecordings
    from crm_api.services.probe_results import ProbeResults

TAG: Final = "Quality probes"
PATH: Final = "/v1/probe-campaigns"
SVG: Final = "image/svg+xml"

_REPORT: Final = line(COLUMNS) + line((
    "Lenina 1", 1, 12, "2026-09-21T15:16:40+00:00", "answered", 6.2, 2, "noisy", "speech is 14 dB above the noise",
    -27.1, -41.0, 3.6,
))  # fmt: skip
_PICTURE: Final = '<svg xmlns="http://www.w3.org/2000/svg" width="648pt" height="360pt" viewBox="0 0 648 360"/>'


class DryRun:
    """`GET .../{key}/forecast`."""

    def __init__(self, campaigns: ProbeCampaigns) -> None:
        self._campaigns = campaigns

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Tell what the campaign would do."""
        send(resp, self._campaigns.dry_run(tenant_of(req), key))


class Handsets:
    """`GET /v1/entrances/{key}/handsets`."""

    def __init__(self, handsets: EntranceHandsets) -> None:
        self._handsets = handsets

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Show an entrance."""
        send(resp, self._handsets.view(tenant_of(req), key))


class Report:
    """`GET .../{key}/report`: CSV."""

    def __init__(self, pictures: ProbePictures) -> None:
        self._pictures = pictures

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Send every call that has ended."""
        send_csv(resp, self._pictures.table(tenant_of(req), key), "probes")


class Drawn:
    """`GET .../{key}/picture`: SVG."""

    def __init__(self, pictures: ProbePictures) -> None:
        self._pictures = pictures

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Draw."""
        wanted = query_of(req, asked.ProbePictureQuery).of
        resp.data = self._pictures.picture(tenant_of(req), key, wanted)
        resp.content_type = SVG


class Recording:
    """`GET /v1/probe-calls/{key}/recording`: WAV."""

    def __init__(self, recordings: ProbeRecordings) -> None:
        self._recordings = recordings

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Send the sound."""
        side = query_of(req, asked.ProbeRecordingQuery).side
        resp.data = self._recordings.content(tenant_of(req), key, side)
        resp.content_type = WAV


class ResultTold:
    """`POST` of the end of a probe."""

    def __init__(self, results: ProbeResults) -> None:
        self._results = results

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Keep it."""
        send(resp, self._results.told(tenant_of(req), body_of(req, asked.ProbeResult)))


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    campaigns = services.probe_campaigns
    acts = (
        (
            "start",
            "Start a draft",
            campaigns.start,
            (
                "Handsets ring from the next of its hours on. Whom it calls is decided now, the residents who said no "
                "left out; with nobody to call it is done at once. 409: it is no draft, or its hours never come."
            ),
        ),
        (
            "pause",
            "Pause a campaign",
            campaigns.pause,
            (
                "No more calls begin, and those that run end as they would. While it is paused its hours, pace and "
                "tries may be changed. 409: it does not run."
            ),
        ),
        (
            "resume",
            "Let a campaign go on",
            campaigns.resume,
            "After a pause, by its hours and pace as they are by now. 409: it is not paused.",
        ),
        (
            "stop",
            "End a campaign for good",
            campaigns.stop,
            (
                "No more calls begin, and those that run end as they would; it cannot go on any more. What was found "
                "stays. 409: it neither runs nor is paused."
            ),
        ),
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
            removal=(
                "For a draft or a campaign that is over; its probe calls with their verdicts go with it. 409 "
                "while it is running or paused: stop it first."
            ),
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
                    "What a campaign would call, or has still to call, and when it would end",
                    reads("probes"),
                    (Answer(200, "The forecast: a dry run on a simulated clock", shown.ProbeForecast),),
                    "Nobody is called and nothing is changed. Of a draft it tells everybody whom it would call, of "
                    "one that was started those who still wait, each once more; calls are taken to be as long as "
                    "usual, and all of them to succeed.",
                ),
            ),
            id_key("probe campaign"),
        ),
        Endpoint(
            f"/v1/entrances/{ID}/handsets",
            TAG,
            Handsets(services.entrance_handsets),
            (
                Operation(
                    "GET",
                    "The handsets of an entrance: one bad handset, or a bad line or panel",
                    reads("probes"),
                    (Answer(200, "The latest verdict of each, and what they share", shown.EntranceHandsetsDocument),),
                    "Verdicts of whichever campaign probed last. `finding` says whether bad handsets are single "
                    "ones, or so many of those judged that their common line or the panel is to blame.",
                ),
            ),
            id_key("entrance"),
        ),
        Endpoint(
            f"{PATH}/{ID}/report",
            TAG,
            Report(services.probe_pictures),
            (
                Operation(
                    "GET",
                    "Every call of a campaign that has ended, the worst handsets first",
                    reads("probes"),
                    (Answer(200, "A CSV file", media_types=(CSV,), example=_REPORT),),
                    "A row for each call, also those without a verdict; `began_at` is UTC. Sent as it is read, so "
                    "that it may have any length; no cell is taken for a formula.",
                ),
            ),
            id_key("probe campaign"),
        ),
        Endpoint(
            f"{PATH}/{ID}/picture",
            TAG,
            Drawn(services.probe_pictures),
            (
                Operation(
                    "GET",
                    "A campaign's course, or levels of speech and noise by house",
                    reads("probes"),
                    (Answer(200, "An SVG picture", media_types=(SVG,), example=_PICTURE),),
                    "Drawn of what is known at this moment, for reports: how many calls of each outcome had ended "
                    "when, or the level of every handset's speech and noise in the thirty worst houses.",
                    query=asked.ProbePictureQuery,
                ),
            ),
            id_key("probe campaign"),
        ),
        Endpoint(
            f"/v1/probe-calls/{ID}/recording",
            TAG,
            Recording(services.probe_recordings),
            (
                Operation(
                    "GET",
                    "Hear the recording of a probe",
                    reads("probe_recordings"),
                    (Answer(200, "The sound", media_types=(WAV,), example=WAV_EXAMPLE),),
                    "Kept for 90 days. Who has heard it is in the audit log.",
                    query=asked.ProbeRecordingQuery,
                ),
            ),
            id_key("probe call"),
        ),
        Endpoint(
            "/v1/probe-results",
            TAG,
            ResultTold(services.probe_results),
            (
                Operation(
                    "POST",
                    "Tell the end of a probe",
                    changes("door_openings"),
                    (Answer(200, "Whether it was kept", shown.ProbeResultAnswer),),
                    "For the node that made the call. The scheduler then measures the recording and judges the "
                    "handset. One that was given up meanwhile is not kept (`kept` false), and need not be told "
                    "again.",
                    body=asked.ProbeResult,
                    problems=frozenset({"not-found"}),
                ),
            ),
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
