"""SIP accounts, panels and their doors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.inputs import accounts, panels
from crm_api.domain.inputs.base import OfCompanyQuery
from crm_api.domain.outputs.accounts import AccountDocument, AccountWithPassword
from crm_api.domain.outputs.panels import DoorOpeningDocument, PanelDocument
from crm_api.resources.authentication import ENGINEERS
from crm_api.resources.calls import DoorOpen, RotatePassword
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
            writers=ENGINEERS,
        ),
        Endpoint(
            "/v1/accounts/{key}/rotate-password",
            "SIP accounts",
            RotatePassword(services.accounts),
            (
                Operation(
                    "POST",
                    "Give an account a new password",
                    ENGINEERS,
                    (Answer(200, "The account with its new password, shown once", AccountWithPassword),),
                    "The old password is refused within a second.",
                ),
            ),
            {"key": ACCOUNT},
        ),
        *kept(
            "/v1/panels",
            tag="Devices",
            plural="panels",
            service=services.panels,
            query=OfCompanyQuery,
            document=PanelDocument,
            new=panels.NewPanel,
            change=panels.PanelChange,
            writers=ENGINEERS,
        ),
        Endpoint(
            f"/v1/doors/{ID}/open",
            "Devices",
            DoorOpen(services.door_openings),
            (
                Operation(
                    "POST",
                    "Open a door",
                    ENGINEERS,
                    (Answer(200, "The panel confirmed", DoorOpeningDocument),),
                    "409: this door opens by DTMF in a call only. 502: the panel did not confirm.",
                    outcomes={
                        409: ("Opens by DTMF only", DoorOpeningDocument),
                        502: ("The panel did not confirm", DoorOpeningDocument),
                    },
                ),
            ),
            id_key("door"),
        ),
    )
