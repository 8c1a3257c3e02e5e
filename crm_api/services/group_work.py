"""Work on everything that a group stands for: in the background, member by member, each wholly or not at all."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from crm_api.domain.inputs.group_work import NewGroupWork
from crm_api.domain.problems import ConflictError, InvalidFieldsError, ProblemError
from crm_api.services.audit import AuditTrail, Entry
from crm_api.services.context import Tenant, find
from crm_api.services.group_actions import GroupActions
from crm_api.services.groups import GroupApartments
from crm_api.services.idempotency import Idempotency
from crm_api.services.job_work import StopAskedError
from crm_api.tables.database import DatabaseErrors, ValueErrors
from crm_api.tables.people import Group

if TYPE_CHECKING:
    import threading

    from crm_api.services.context import Context
    from crm_api.services.group_actions import Act, Noun
    from crm_api.services.idempotency import Repeatable
    from crm_api.services.jobs import Jobs, Taken
    from crm_api.services.kept import Document

CHUNK: Final = 20
"""Members of one transaction: what another writer waits for, and what a crash has done anew, at most."""
MOST_PROBLEMS: Final = 1000

_OF_GROUP: Final[dict[tuple[str, Noun], str]] = {
    ("houses", "house"): "SELECT house_id FROM group_members WHERE group_id = ? ORDER BY 1",
    ("houses", "panel"): """
        SELECT DISTINCT pp.panel_id FROM group_members m JOIN panel_places pp ON pp.house_id = m.house_id
        WHERE m.group_id = ? ORDER BY 1""",
    ("houses", "entrance"): """
        SELECT e.id FROM group_members m JOIN entrances e ON e.house_id = m.house_id WHERE m.group_id = ? ORDER BY 1""",
    ("panels", "panel"): "SELECT panel_id FROM group_members WHERE group_id = ? ORDER BY 1",
    ("panels", "entrance"): """
        SELECT DISTINCT e.id FROM group_members m JOIN panel_places pp ON pp.panel_id = m.panel_id
        JOIN entrances e ON e.house_id = pp.house_id AND (pp.entrance_id IS NULL OR pp.entrance_id = e.id)
        WHERE m.group_id = ? ORDER BY 1""",
    ("apartments", "entrance"): """
        SELECT DISTINCT a.entrance_id FROM group_members m JOIN apartments a ON a.id = m.apartment_id
        WHERE m.group_id = ? ORDER BY 1""",
}

_log = structlog.get_logger("crm_api.group_work")


class _UndoneError(Exception):
    """A dry run undoes what it did to a member."""


class GroupWork:
    """Takes work on groups, and does it."""

    when_failed = "The work ended before its end; what was done to members stays done, and doing it again is harmless"

    def __init__(self, context: Context, jobs: Jobs) -> None:
        self._context = context
        self._jobs = jobs
        self._actions = GroupActions(context)
        self._apartments = GroupApartments(context)
        self._trail = AuditTrail(context)
        self._idempotency = Idempotency(context)

    def submit(self, tenant: Tenant, group_id: int, new: NewGroupWork, wish: Repeatable | None = None) -> Document:
        """Take work on the members that the group has at this moment; the answer is the job that waits.

        Raises:
            NotFoundError: there is no such group, or no such kind of block.
            InvalidFieldsError: it would fail for every member.
            ConflictError: the group stands for nothing, or too many jobs of the company wait.
        """
        group = find(tenant, Group, "group", group_id)
        made = self._idempotency.once(tenant, wish, lambda: {"id": self._kept(tenant, group, new)})
        return self._jobs.got(tenant, made["id"])

    def _kept(self, tenant: Tenant, group: Group, new: NewGroupWork) -> int:
        self._actions.check(group.company_id, new.action)
        members = self._members(group, self._actions.act(new.action, group.kind, group.company_id, 0).noun)
        if not members:
            raise ConflictError("The group stands for nothing that this could be done to: put members in first")
        asked = new.model_dump(mode="json", exclude_unset=True)
        options = {"group_id": group.id, "group_kind": group.kind, **asked, "principal_id": tenant.principal_id}
        content = msgspec.json.encode(members)
        kind = f"group {new.action.do}"
        job_id = self._jobs.submit(tenant, group.company_id, kind, options, content, rows=len(members))
        after = {"job_id": job_id, "members": len(members), **asked}
        self._trail.write(tenant, [Entry("group", str(group.id), "work", None, after, group.company_id)])
        return job_id

    def _members(self, group: Group, noun: Noun) -> list[int]:
        if noun == "apartment":
            return self._apartments.ids(Tenant.of(group.company_id), group.id)
        statement = _OF_GROUP.get((group.kind, noun))
        if statement is None:
            remedy = f"a group of {group.kind} has no {noun}s of its own: use a group of houses or of {noun}s"
            raise InvalidFieldsError.one("action.do", None, remedy)
        return [key for (key,) in self._context.database.rows(statement, (group.id,))]

    def do(self, taken: Taken, stopped: threading.Event) -> None:
        """Do the work from where an earlier turn stopped; every few members are told in their own transaction."""
        options = taken.options
        new = NewGroupWork.model_validate({"action": options["action"], "dry_run": options.get("dry_run", False)})
        members: list[int] = msgspec.json.decode(taken.content)
        so_far = taken.so_far or {
            "dry_run": new.dry_run, "changed": 0, "unchanged": 0, "failed": 0, "problems": [],
        }  # fmt: skip
        done = so_far["changed"] + so_far["unchanged"] + so_far["failed"]
        act = self._actions.act(new.action, options["group_kind"], taken.company_id, taken.job_id)
        tenant = Tenant(frozenset({taken.company_id}), taken.made_by, options.get("principal_id"))
        for first in range(done, len(members), CHUNK):
            if stopped.is_set():
                raise StopAskedError
            chunk = members[first : first + CHUNK]
            with self._context.database.transaction():
                for key in chunk:
                    self._one(act, tenant, key, so_far)
                self._jobs.tell(taken, first + len(chunk), so_far)
        with self._context.database.transaction():
            self._jobs.end(taken, "done", so_far, len(members))

    def _one(self, act: Act, tenant: Tenant, key: int, so_far: dict[str, Any]) -> None:
        """Do it to one member, and count what came of it."""
        try:
            changed = self._done(act, tenant, key, dry_run=so_far["dry_run"])
        except DatabaseErrors:
            raise
        except ProblemError as error:
            _tell_problem(so_far, act, key, error.kind, error.detail)
        except ValueErrors as error:
            _tell_problem(so_far, act, key, "invalid-fields", str(error).splitlines()[0])
        except Exception:  # noqa: BLE001 - a fault of ours with one member must not keep the others from theirs
            _log.exception("fault", noun=act.noun, key=key)
            _tell_problem(so_far, act, key, "internal", "a fault of ours: it is logged")
        else:
            so_far["changed" if changed else "unchanged"] += 1

    def _done(self, act: Act, tenant: Tenant, key: int, *, dry_run: bool) -> bool:
        """Do it in a savepoint of its own, which a dry run takes back; say whether anything was changed."""
        changed = False
        with contextlib.suppress(_UndoneError), self._context.database.transaction():
            changed = act.do(tenant, key)
            if dry_run:
                raise _UndoneError
        return changed


def _tell_problem(so_far: dict[str, Any], act: Act, key: int, kind: str, detail: str) -> None:
    so_far["failed"] += 1
    if len(so_far["problems"]) < MOST_PROBLEMS:
        so_far["problems"].append({"noun": act.noun, "id": key, "problem": kind, "detail": detail})
