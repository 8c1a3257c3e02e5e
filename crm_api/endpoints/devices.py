"""SIP accounts and push tokens, panels and relays, their doors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import accounts, panels, push_tokens
from crm_api.domain.inputs.base import OfCompanyQuery
from crm_api.domain.outputs.accounts import AccountContactsDocument, AccountDocument, AccountWithPassword
from crm_api.domain.outputs.fund import PushTokenDocument, RelayDocument
from crm_api.domain.outputs.panels import DoorOpeningDocument, PanelDocument
from crm_api.resources.account_contacts import ContactsOfAccount
from crm_api.resources.acts import Act
from crm_api.resources.calls import DoorOpen
from crm_api.resources.declaration import ID, Answer, Endpoint, Key, Operation, id_key
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

ACCOUNT = Key("the account's name", "h10012a")


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/accounts",
            tag="SIP accounts",
            plural="accounts",
            service=services.accounts,
            query=accounts.AccountQuery,
            document=AccountDocument,
            new=accounts.NewAccount,
            change=accounts.AccountChange,
            made=AccountWithPassword,
            key="account",
            named_by=ACCOUNT,
            removal=(
                "Its device is registered no longer. Its push tokens, its desk and its lines in ring plans go "
                "with it; records keep its name, which is free again. 409: the account of a panel goes with its "
                "panel only."
            ),
            readers=reads("accounts"),
            writers=changes("accounts"),
        ),
        Endpoint(
            "/v1/accounts/{key}/rotate-password",
            "SIP accounts",
            Act(services.accounts.rotate_password),
            (
                Operation(
                    "POST",
                    "Give an account a new password",
                    changes("accounts"),
                    (
                        Answer(
                            200, "The account with its new password, shown once", AccountWithPassword, headers=("ETag",)
                        ),
                    ),
                    "The old password is refused within a second, and the device is registered no longer: it stays "
                    "away until it is given the new one, which this answer alone shows. 409: an account of kind "
                    "phone has none.",
                    problems=frozenset({"conflict"}),
                ),
            ),
            {"key": ACCOUNT},
        ),
        Endpoint(
            "/v1/accounts/{key}/contacts",
            "SIP accounts",
            ContactsOfAccount(services.account_contacts),
            (
                Operation(
                    "GET",
                    "See where an account is registered",
                    reads("accounts"),
                    (Answer(200, "Its devices that are registered now", AccountContactsDocument),),
                    "Asked of the SIP proxy at this moment, kept nowhere. No items: the account is offline, or is one "
                    "that never registers (kind phone). A device that has lost its power, its network or its TCP "
                    "connection is among them until `expires_at_ms`. 503 within a second when the proxy does not "
                    "answer: `detail` says what to look at.",
                    problems=frozenset({"registrar-silent"}),
                ),
            ),
            {"key": ACCOUNT},
        ),
        *kept(
            "/v1/push-tokens",
            tag="SIP accounts",
            plural="push tokens",
            service=services.push_tokens,
            query=push_tokens.PushTokenQuery,
            document=PushTokenDocument,
            new=push_tokens.NewPushToken,
            removal="No push wakes the device any more, until it sends a token again.",
            readers=reads("accounts"),
            writers=changes("accounts"),
        ),
        Endpoint(
            f"/v1/push-tokens/{ID}/invalidate",
            "SIP accounts",
            Act(services.push_tokens.invalidate, push_tokens.PushTokenInvalid),
            (
                Operation(
                    "POST",
                    "Stop using a push token",
                    changes("accounts"),
                    (Answer(200, "The device, without a valid token", PushTokenDocument, headers=("ETag",)),),
                    "No push wakes the device any more, until it sends another token. Said twice, the first reason "
                    "stays.",
                    body=push_tokens.PushTokenInvalid,
                ),
            ),
            id_key("push token"),
        ),
        *kept(
            "/v1/panels",
            tag="Devices",
            plural="panels",
            service=services.panels,
            query=panels.PanelQuery,
            document=PanelDocument,
            new=panels.NewPanel,
            change=panels.PanelChange,
            removal=(
                "Its account, places, doors and code lock go with it; records of calls and openings stay, "
                "without it. Its codes are followed no longer, and whatever it keeps itself stays in it: clear "
                "the device."
            ),
            readers=reads("devices"),
            writers=changes("devices"),
        ),
        *kept(
            "/v1/relays",
            tag="Devices",
            plural="relays",
            service=services.relays,
            query=OfCompanyQuery,
            document=RelayDocument,
            new=panels.NewRelay,
            change=panels.RelayChange,
            removal=(
                "409 while it opens the door of a panel: `detail` names the panels. Its own doors go with it; "
                "records of openings stay."
            ),
            readers=reads("devices"),
            writers=changes("devices"),
        ),
        Endpoint(
            f"/v1/doors/{ID}/open",
            "Devices",
            DoorOpen(services.door_openings),
            (
                Operation(
                    "POST",
                    "Open a door",
                    changes("doors"),
                    (Answer(200, "The panel confirmed", DoorOpeningDocument),),
                    "It opens for whoever stands there, at once; 200 says that the device has confirmed. Whatever "
                    "comes of it is an access record with the name of who asked. Nothing is tried twice: 502 says "
                    "that the device did not confirm, and may have opened all the same. 409: this door opens by "
                    "digits in a call only.",
                    outcomes={
                        409: ("Opens by DTMF only", DoorOpeningDocument),
                        502: ("The panel did not confirm", DoorOpeningDocument),
                    },
                ),
            ),
            id_key("door"),
        ),
    )
