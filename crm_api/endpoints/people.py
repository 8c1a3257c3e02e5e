"""Residents, and groups for campaigns and bulk work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import people as asked
from crm_api.domain.inputs.group_work import NewGroupWork
from crm_api.domain.outputs import people as shown
from crm_api.domain.outputs.jobs import JobDocument
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.groups import Members, OfGroup, Work
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/residents",
            tag="People",
            plural="residents",
            service=services.residents,
            query=asked.ResidentQuery,
            document=shown.ResidentDocument,
            new=asked.NewResident,
            change=asked.ResidentChange,
            removal=(
                "The accounts that are his own go with him, and their devices are registered no longer; so do "
                "keys bound to him. Accounts of the whole household stay."
            ),
            readers=reads("people"),
            writers=changes("people"),
        ),
        *kept(
            "/v1/groups",
            tag="Groups",
            plural="groups",
            service=services.groups,
            query=asked.GroupQuery,
            document=shown.GroupDocument,
            new=asked.NewGroup,
            change=asked.GroupChange,
            removal=(
                "Its members stay, and so does what was done to them; a job that waits is done to the members "
                "that the group had when it was asked for."
            ),
            readers=reads("groups"),
            writers=changes("groups"),
        ),
        Endpoint(
            f"/v1/groups/{ID}/members",
            "Groups",
            Members(services.groups, services.group_members),
            (
                Operation(
                    "GET",
                    "List the members of a group",
                    reads("groups"),
                    (Answer(200, "A page of members", shown.MemberDocument, is_page=True),),
                    "In pages of `limit` rows by `id`, the order in which they were put in. One of `house_id`, "
                    "`panel_id` and `apartment_id` is set, by the kind of the group.",
                    query=asked.MemberQuery,
                ),
                Operation(
                    "POST",
                    "Put members into a group and take others out",
                    changes("groups"),
                    (Answer(200, "The group", shown.GroupDocument, headers=("ETag",)),),
                    "All or nothing: one id that is none of the company's houses, panels or apartments refuses all.",
                    body=asked.MembersChange,
                ),
            ),
            id_key("group"),
        ),
        Endpoint(
            f"/v1/groups/{ID}/apartments",
            "Groups",
            OfGroup(services.groups, services.group_apartments),
            (
                Operation(
                    "GET",
                    "List the apartments that a group stands for",
                    reads("groups"),
                    (Answer(200, "A page of apartments", shown.GroupApartmentDocument, is_page=True),),
                    "Those of its houses, those behind its panels, or its own.",
                    query=asked.MemberQuery,
                ),
            ),
            id_key("group"),
        ),
        Endpoint(
            f"/v1/groups/{ID}/jobs",
            "Groups",
            Work(services.group_work),
            (
                Operation(
                    "POST",
                    "Do something to everything that a group stands for",
                    changes("groups") & changes("jobs") & changes("rules") & changes("accounts") & changes("codes"),
                    (Answer(202, "The job waits; read it again for its progress", JobDocument, headers=("Location",)),),
                    "Done in the background to the members that the group has now: each wholly or not at all, and one "
                    "that fails does not keep the others from theirs. What is so already stays so, so it may be sent "
                    "again. `result` of the job counts the members and tells each that failed.",
                    body=NewGroupWork,
                    headers=("Idempotency-Key",),
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("group"),
        ),
    )
