"""The call path, what happened in calls and at doors, and health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs.calls import AccessQuery, CallQuery, CodeEntry, CodeLockQuery, DoorOpening
from crm_api.domain.outputs import calls as shown
from crm_api.resources import calls
from crm_api.resources.call_sounds import JPEG, JPEG_EXAMPLE
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
                    "For monitoring and load balancers; each is asked at this moment. Why one does not answer is "
                    "in the log, as anybody may ask this.",
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
                    "Decided at this moment, as for a call: nobody is rung. FastAGI asks this for each call that "
                    "it has no plan of; people see with it what a change has brought. A panel of another company "
                    "is not there (404).",
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
                    "For the call path alone, when somebody who talks has pressed the key. His right is looked up "
                    "anew, and an access record is written whatever comes of it. A door that is reached over HTTP "
                    "is opened before this answers, unless it was asked for more than three seconds ago; of one "
                    "that opens by digits the answer has them (`granted`). A refusal is a 200, too.",
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
                    (Answer(200, "The panel's picture", media_types=(JPEG,), example=JPEG_EXAMPLE),),
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
            removal=(
                "Codes are taken here again from now on, and wrong ones are counted anew. Each lock stands for "
                "itself: those of the panel, its entrance and its gate are removed one by one."
            ),
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
                    "Whom it was to ring, what became of each device and when, which doors were opened, what "
                    "phones cost, and the whole story in order. A call that goes on gains more of it as it does.",
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
                    "Judged by the branches of the call, by what push services said, and by the plan that it went by: "
                    "who was left out of it and why, whose turn did not come. Records of older releases have no "
                    "plan; of them the account as it is now has to tell. It says so, too, when the account rang after "
                    "all.",
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
