"""Renewed access codes: rules, one entrance now, what is on which panel, who has been told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import access_codes as asked
from crm_api.domain.outputs import codes as shown
from crm_api.domain.outputs.fund import AccessCodeInClear
from crm_api.resources.acts import Act
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept, listed

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

TAG: Final = "Keys and codes"


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/access-code-rules",
            tag=TAG,
            plural="rules of access codes",
            service=services.access_code_rules,
            query=asked.AccessCodeRuleQuery,
            document=shown.AccessCodeRuleDocument,
            change=asked.AccessCodeRuleChange,
            removal=None,
            readers=reads("codes"),
            writers=changes("codes"),
        ),
        Endpoint(
            f"/v1/entrances/{ID}/renew-code",
            TAG,
            Act(services.code_renewal.renew_entrance),
            (
                Operation(
                    "POST",
                    "Give an entrance a new access code now",
                    changes("codes"),
                    (Answer(200, "The new code, in clear", AccessCodeInClear, headers=("ETag",)),),
                    "The old one stays valid for the company's grace period, and on a panel that keeps codes until the "
                    "new one is there. Residents are told by the company's rules.",
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("entrance"),
        ),
        listed(
            "/v1/panel-codes",
            tag=TAG,
            plural="codes on panels",
            service=services.panel_codes,
            query=asked.PanelCodeQuery,
            document=shown.PanelCodeDocument,
            readers=reads("codes"),
        ),
        listed(
            "/v1/code-notices",
            tag=TAG,
            plural="messages about new codes",
            service=services.code_notices,
            query=asked.CodeNoticeQuery,
            document=shown.CodeNoticeDocument,
            readers=reads("codes"),
        ),
    )
