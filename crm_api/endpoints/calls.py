"""The call path, what happened in calls and at doors, and health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs.calls import AccessQuery, CallQuery, CodeEntry, CodeLockQuery, DoorOpening
from crm_api.domain.outputs import calls as shown
from crm_api.resources import calls
from crm_api.resources.declaration import Answer, Endpoint, Key, Operation
from crm_api.resources.kept import kept, listed

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
                    reads("plans"),
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
                    changes("door_openings"),
                    (Answer(200, "Yes or no: `result` tells", shown.DoorOpeningAnswer),),
                    body=DoorOpening,
                ),
            ),
        ),
        Endpoint(
            "/v1/visitor-pictures/{key}",
            "Calls",
            calls.VisitorPicture(services.visitor_pictures),
            (
                Operation(
                    "GET",
                    "See the visitor of a call that rings",
                    None,
                    (Answer(200, "The panel's picture", media_types=("image/jpeg",), example=""),),
                    "The link in a push is its own permission: for one call and one household, for five minutes.",
                    problems=frozenset({"not-found"}),
                ),
            ),
            {"key": Key("what the link in the push holds", "a0-7-1790000300000-b1")},
        ),
        Endpoint(
            "/v1/code-entries",
            "Calls",
            calls.CodeEntriesInCall(services.code_entries),
            (
                Operation(
                    "POST",
                    "Ask to open a door for an access code typed at its panel",
                    changes("door_openings"),
                    (Answer(200, "Yes or no: `result` tells", shown.CodeEntryAnswer),),
                    "A wrong code counts at the panel and at its entrance or gate; after too many in a row these take "
                    "no code for a while.",
                    body=CodeEntry,
                ),
            ),
        ),
        *kept(
            "/v1/code-locks",
            tag="Keys and codes",
            plural="code locks",
            service=services.code_locks,
            query=CodeLockQuery,
            document=shown.CodeLockDocument,
            readers=reads("codes"),
            writers=changes("codes"),
        ),
        listed(
            "/v1/calls",
            tag="Records",
            plural="calls",
            service=services.call_records,
            query=CallQuery,
            document=shown.CallDocument,
            readers=reads("records"),
        ),
        Endpoint(
            "/v1/calls/{call_id}",
            "Records",
            calls.Call(services.call_records),
            (
                Operation(
                    "GET",
                    "Read a call with its branches and openings",
                    reads("records"),
                    (Answer(200, "The call", shown.CallWithBranches),),
                ),
            ),
            {"call_id": Key("SIP Call-ID of the panel's leg", "3f1c9a0e@10.20.30.40")},
        ),
        Endpoint(
            "/v1/calls/{call_id}/why/{account}",
            "Records",
            calls.Why(services.call_records),
            (
                Operation(
                    "GET",
                    "Ask why a phone did not ring",
                    reads("records"),
                    (Answer(200, "One sentence", shown.WhyDocument),),
                    problems=frozenset({"not-found"}),
                ),
            ),
            {
                "call_id": Key("SIP Call-ID of the panel's leg", "3f1c9a0e@10.20.30.40"),
                "account": Key("the account that did not ring", "a10012"),
            },
        ),
        listed(
            "/v1/access-records",
            tag="Records",
            plural="access records",
            service=services.access_records,
            query=AccessQuery,
            document=shown.AccessRecordDocument,
            readers=reads("records"),
        ),
    )
