"""The call path, what happened in calls and at doors, and health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.inputs.calls import AccessQuery, CallQuery, DoorOpening
from crm_api.domain.outputs import calls as shown
from crm_api.resources import calls
from crm_api.resources.authentication import CALLS, READERS, SERVICE
from crm_api.resources.declaration import Answer, Endpoint, Key, Operation
from crm_api.resources.kept import listed

if TYPE_CHECKING:
    from crm_api.adapters.plan_cache import PlanCache
    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase


def endpoints(services: Services, database: CrmDatabase, cache: PlanCache) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        Endpoint(
            "/health",
            "Health",
            calls.Health(database, cache),
            (
                Operation(
                    "GET",
                    "Look whether database and Redis answer",
                    None,
                    (Answer(200, "Both answer", shown.HealthDocument),),
                    outcomes={503: ("One is away", shown.HealthDocument)},
                ),
            ),
        ),
        Endpoint(
            "/v1/ring-plans/{key}/{dialled}",
            "Calls",
            calls.RingPlan(services.planning),
            (
                Operation(
                    "GET",
                    "Ask what happens when a number is pressed on a panel now",
                    CALLS,
                    (Answer(200, "The plan; an unknown number is an answer, too", shown.PlannedCall),),
                ),
            ),
            {"key": Key("account of the panel", "p10001"), "dialled": Key("what was pressed", "12")},
        ),
        Endpoint(
            "/v1/door-openings",
            "Calls",
            calls.DoorOpeningsInCall(services.door_openings),
            (
                Operation(
                    "POST",
                    "Ask to open a door in a call",
                    SERVICE,
                    (Answer(200, "Yes or no: `result` tells", shown.DoorOpeningAnswer),),
                    body=DoorOpening,
                ),
            ),
        ),
        listed(
            "/v1/calls",
            tag="Records",
            plural="calls",
            service=services.call_records,
            query=CallQuery,
            document=shown.CallDocument,
        ),
        Endpoint(
            "/v1/calls/{call_id}",
            "Records",
            calls.Call(services.call_records),
            (
                Operation(
                    "GET",
                    "Read a call with its branches and openings",
                    READERS,
                    (Answer(200, "The call", shown.CallWithBranches),),
                ),
            ),
            {"call_id": Key("SIP Call-ID of the panel's leg", "3f1c9a0e@10.20.30.40")},
        ),
        listed(
            "/v1/access-records",
            tag="Records",
            plural="access records",
            service=services.access_records,
            query=AccessQuery,
            document=shown.AccessRecordDocument,
        ),
    )
