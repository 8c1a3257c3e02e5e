"""What phones cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.inputs.trunks import StatementQuery
from crm_api.resources.authentication import tenant_of
from crm_api.resources.rendering import query_of, send

if TYPE_CHECKING:
    import falcon

    from crm_api.services.phone_statements import PhoneStatements


class StatementOfCompany:
    """`GET /v1/companies/{key}/phone-statement`."""

    def __init__(self, statements: PhoneStatements) -> None:
        self._statements = statements

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Show the statement of a month."""
        send(resp, self._statements.of(tenant_of(req), key, query_of(req, StatementQuery).month))
