"""Files that are sent to be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.resources.authentication import tenant_of
from crm_api.resources.preconditions import repeatable_of
from crm_api.resources.rendering import content_of, query_of, send

if TYPE_CHECKING:
    import falcon

    from crm_api.domain.inputs.imports import ImportQuery
    from crm_api.services.imports import ImportKind, Imports

MAX_FILE_BYTES: Final = 32 * 1024 * 1024


class Import:
    """`POST /v1/imports/<kind>`: a CSV file in the body."""

    def __init__(self, imports: Imports, kind: ImportKind, query: type[ImportQuery]) -> None:
        self._imports = imports
        self._kind = kind
        self._query = query

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Import; 200 with what came of it, or 202 while it is done in the background."""
        query = query_of(req, self._query)
        content = content_of(req, MAX_FILE_BYTES, "cut the file into several")
        options = query.model_dump(exclude={"company_id"})
        wish = repeatable_of(req, content)
        job = self._imports.submit(tenant_of(req), self._kind, query.company_id, options, content, wish=wish)
        resp.location = f"/v1/jobs/{job['id']}"
        send(resp, job, 200 if job["finished_at_ms"] is not None else 202)
