"""Emergency calls: centres, numbers, rules, leases, calls, the daily check; and what the call path asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import emergency as asked
from crm_api.domain.outputs import emergency as shown
from crm_api.resources import emergency
from crm_api.resources.acts import Act
from crm_api.resources.declaration import CSV, ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import Item, kept, listed

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

TAG: Final = "Emergency calls"


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (*_kept(services), *_numbers(services), *_records(services), *_call_path(services))


def _kept(services: Services) -> tuple[Endpoint, ...]:
    readers, writers = reads("emergency"), changes("emergency")
    return (
        *kept(
            "/v1/emergency-centres",
            tag=TAG,
            plural="emergency centres",
            service=services.emergency_centres,
            query=asked.CentreQuery,
            document=shown.EmergencyCentreDocument,
            new=asked.NewEmergencyCentre,
            change=asked.EmergencyCentreChange,
            removal=(
                "Calls to 112 from the city's panels have no way from then on (`no_way`), until it has another. "
                "Its list of trunks goes with it; trunks and the city's numbers stay."
            ),
            readers=readers,
            writers=writers,
        ),
        *kept(
            "/v1/city-numbers",
            tag=TAG,
            plural="city numbers",
            service=services.city_numbers,
            query=asked.CityNumberQuery,
            document=shown.CityNumberDocument,
            new=asked.NewCityNumber,
            change=asked.CityNumberChange,
            removal=(
                "Its leases go with it, the emergency calls that it carried stay. 409 while a panel holds it: "
                "take it out of service (`in_service`), or release its lease."
            ),
            readers=readers,
            writers=writers,
        ),
        Endpoint(
            f"/v1/companies/{ID}/emergency-rules",
            TAG,
            emergency.Rules(services.emergency_rules),
            (
                Operation(
                    "GET",
                    "Read what a company wants of emergency calls",
                    readers,
                    (Answer(200, "The rules, or the usual ones", shown.EmergencyRulesDocument, headers=("ETag",)),),
                    "A company that has set none has the usual ones: 101 to 104 are emergency numbers beside 112, "
                    "there is no SOS number, and 112 from home goes to the centre of the house's city.",
                ),
                Operation(
                    "PUT",
                    "Set what a company wants of emergency calls",
                    writers,
                    (Answer(200, "The rules", shown.EmergencyRulesDocument, headers=("ETag",)),),
                    "All of them are set: a field that is left out gets its usual value, a `webhook_secret` that "
                    "is left out is gone. Calls follow within seconds. 422: the SOS number is an apartment's "
                    "behind one of the company's panels.",
                    body=asked.NewEmergencyRules,
                    headers=("If-Match",),
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("company"),
        ),
    )


def _numbers(services: Services) -> tuple[Endpoint, ...]:
    writers = changes("emergency")
    return (
        Endpoint(
            f"/v1/cities/{ID}/numbers",
            TAG,
            emergency.NumberUpload(services.city_numbers),
            (
                Operation(
                    "POST",
                    "Load the numbers of a city from a CSV file",
                    writers,
                    (Answer(200, "What was loaded; with problems nothing was", shown.NumbersTaken),),
                    "Columns `number`, `trunk`, `shared`; 10,000 rows at most. A number has one city; numbers that the "
                    "city has stay. With one wrong row nothing is loaded.",
                    upload=(CSV,),
                    upload_example="number;trunk;shared\n+74951110001;city-line;no\n+74951110000;city-line;yes\n",
                    query=asked.NumberUploadQuery,
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("city"),
        ),
        Endpoint(
            f"/v1/cities/{ID}/twilio-numbers",
            TAG,
            emergency.TwilioImport(services.city_numbers, services.twilio_numbers),
            (
                Operation(
                    "POST",
                    "Load the numbers of a city from a Twilio account",
                    writers,
                    (Answer(200, "What was loaded; with problems nothing was", shown.NumbersTaken),),
                    "The account's incoming phone numbers that can carry voice. `dry_run` asks Twilio all the same, "
                    "and loads nothing; numbers that the city has stay as they are. 502: Twilio did not tell them.",
                    body=asked.TwilioNumbers,
                    problems=frozenset({"conflict", "elsewhere"}),
                ),
            ),
            id_key("city"),
        ),
        Endpoint(
            "/v1/number-pools",
            TAG,
            emergency.Shown(services.city_numbers.shown_pools),
            (
                Operation(
                    "GET",
                    "See how full the cities' pools are",
                    reads("emergency"),
                    (Answer(200, "All pools", shown.PoolList),),
                    "Counted at this moment, without shared numbers and those out of service. The forecast is a "
                    "straight line through the most numbers held at once on each of the last seven days. For those "
                    "who see all companies.",
                ),
            ),
        ),
    )


def _records(services: Services) -> tuple[Endpoint, ...]:
    readers = reads("records")
    return (
        listed(
            "/v1/number-leases",
            tag=TAG,
            plural="leases",
            service=services.number_leases,
            query=asked.LeaseQuery,
            document=shown.LeaseDocument,
            readers=readers,
        ),
        Endpoint(
            f"/v1/number-leases/{ID}/release",
            TAG,
            Act(services.number_leases.release, asked.LeaseRelease),
            (
                Operation(
                    "POST",
                    "Take a number from its panel before its time",
                    changes("emergency"),
                    (Answer(200, "The lease as it ended", shown.LeaseDocument),),
                    "A call back to the number goes to the duty desk from now on, and another panel may get the "
                    "number. 409: the lease has ended already.",
                    body=asked.LeaseRelease,
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("lease"),
        ),
        listed(
            "/v1/emergency-calls",
            tag=TAG,
            plural="emergency calls",
            service=services.emergency_calls,
            query=asked.EmergencyCallQuery,
            document=shown.EmergencyCallDocument,
            readers=readers,
        ),
        Endpoint(
            f"/v1/emergency-calls/{ID}",
            TAG,
            Item(services.emergency_calls, None),
            (
                Operation(
                    "GET",
                    "Read an emergency call",
                    readers,
                    (Answer(200, "The call with its steps", shown.EmergencyCallDocument),),
                    "Every step with its moment: the number that it got, each way that was tried and why it was "
                    "passed over, who answered, how it ended. One that goes on gains steps as it does, a test "
                    "call, too.",
                ),
            ),
            id_key("emergency call"),
        ),
        Endpoint(
            "/v1/emergency-test-calls",
            TAG,
            emergency.TestCalls(services.emergency_tests),
            (
                Operation(
                    "POST",
                    "Try the way of an emergency call from a panel",
                    changes("emergency"),
                    (Answer(202, "The call; its record gains a step as it goes on", shown.EmergencyCallDocument),),
                    "The whole way, as the panel, to the test number of the city's dispatch centre, which is "
                    "really rung. Test calls are placed one after another, within two minutes or not at all; "
                    "nobody is told of one, and the number that it leased is free at once.",
                    body=asked.NewTestCall,
                    problems=frozenset({"conflict"}),
                ),
            ),
        ),
        Endpoint(
            "/v1/emergency-checks",
            TAG,
            emergency.Checks(services.emergency_checks),
            (
                Operation(
                    "POST",
                    "Check every panel now",
                    changes("emergency"),
                    (Answer(200, "How much is wrong", shown.CheckDone),),
                    "What is checked once a day without being asked for. What is right again is taken off the list "
                    "of findings, the others keep the moment when they were first found. For those who see all "
                    "companies.",
                ),
            ),
        ),
        listed(
            "/v1/emergency-findings",
            tag=TAG,
            plural="findings of the daily check",
            service=services.emergency_findings,
            query=asked.FindingQuery,
            document=shown.FindingDocument,
            readers=readers,
        ),
        listed(
            "/v1/emergency-notices",
            tag=TAG,
            plural="notices of emergency calls",
            service=services.emergency_notices,
            query=asked.NoticeQuery,
            document=shown.NoticeDocument,
            readers=readers,
        ),
    )


def _call_path(services: Services) -> tuple[Endpoint, ...]:
    path = services.emergency_path
    return (
        Endpoint(
            "/v1/emergency-leases",
            TAG,
            emergency.Leases(path),
            (
                Operation(
                    "POST",
                    "Take a number for an emergency call",
                    changes("emergency_path"),
                    (Answer(200, "The number, or the city's shared one", shown.LeasedNumber),),
                    "For the call path alone. A panel that holds a number keeps it, another gets the one that has been "
                    "free for longest; it is held from now on, until `keep_s` of the centre after the call.",
                    body=asked.WantedLease,
                ),
            ),
        ),
        Endpoint(
            "/v1/emergency-call-backs",
            TAG,
            emergency.CallBacks(path),
            (
                Operation(
                    "POST",
                    "Ask who is called back",
                    changes("emergency_path"),
                    (Answer(200, "The panel, or the desks", shown.CallBackAnswer),),
                    "For the call path alone, when a dispatcher has dialled a number of a city. The panel that holds "
                    "the number keeps it at least for this call.",
                    body=asked.CallBack,
                ),
            ),
        ),
    )
