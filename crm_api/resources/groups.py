"""What is in a group, the apartments that it stands for, and work on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from crm_api.domain.inputs.group_work import NewGroupWork
from crm_api.domain.inputs.people import MemberQuery, MembersChange
from crm_api.resources.authentication import tenant_of
from crm_api.resources.kept import asked_of
from crm_api.resources.preconditions import repeatable_of
from crm_api.resources.rendering import body_of, send
from crm_api.services.kept import etag_of

if TYPE_CHECKING:
    import falcon

    from crm_api.services.group_work import GroupWork
    from crm_api.services.groups import GroupApartments, GroupMembers, Groups


class OfGroup:
    """`GET /v1/groups/{id}/...`: a list that belongs to a group."""

    def __init__(self, groups: Groups, service: GroupMembers | GroupApartments) -> None:
        self._groups = groups
        self._service = service

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """List."""
        self._groups.row(tenant_of(req), key)
        page = self._service.listed(tenant_of(req), replace(asked_of(req, MemberQuery), filters={"group_id": key}))
        send(resp, {"items": page.items, "next": page.next})


class Members(OfGroup):
    """`/v1/groups/{id}/members`: besides, `POST` puts in and takes out."""

    def on_post(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Change the members."""
        document = self._groups.change_members(tenant_of(req), key, body_of(req, MembersChange))
        send(resp, document, 200, etag_of(document))


class Work:
    """`POST /v1/groups/{id}/jobs`: one action, done to each member."""

    def __init__(self, group_work: GroupWork) -> None:
        self._group_work = group_work

    def on_post(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Take the work; it is done in the background."""
        new = body_of(req, NewGroupWork)
        job = self._group_work.submit(tenant_of(req), key, new, repeatable_of(req, new))
        resp.location = f"/v1/jobs/{job['id']}"
        send(resp, job, 202)
