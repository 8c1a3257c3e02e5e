"""Groups of houses, panels or apartments: for campaigns and bulk work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from peewee import fn

from crm_api.domain.problems import FieldProblem, InvalidFieldsError
from crm_api.services.audit import Entry
from crm_api.services.context import Tenant, find, visible
from crm_api.services.kept import Document, Kept, Listed, company_for
from crm_api.tables.models import Apartment, House, Panel, PanelPlace
from crm_api.tables.people import Group, GroupMember

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs import people
    from crm_api.services.paging import Asked, Page

COLUMNS: Final = {"houses": "house_id", "panels": "panel_id", "apartments": "apartment_id"}
MODELS: Final[dict[str, Any]] = {"houses": House, "panels": Panel, "apartments": Apartment}
AT_ONCE: Final = 1000
SHOWN_WRONG: Final = 100
"""So many unknown ids are named at once, no more."""


class Groups(Kept[Group]):
    """Groups, with the number of their members."""

    noun = "group"
    model = Group

    def documents(self, rows: Sequence[Group]) -> list[Document]:
        """Show groups with the number of members."""
        counted: Any = (
            GroupMember.select(GroupMember.group_id, fn.COUNT(GroupMember.id))
            .where(GroupMember.group_id.in_([row.id for row in rows]))
            .group_by(GroupMember.group_id)
        )
        members: dict[int, int] = dict(counted.tuples())
        return [{**row.__data__, "members": members.get(row.id, 0)} for row in rows]

    def create(self, tenant: Tenant, new: people.NewGroup) -> Document:
        """Make an empty group."""
        company_id = company_for(tenant, new.company_id)
        row = Group.create(
            company_id=company_id, kind=new.kind, name=new.name, note=new.note, created_at_ms=self.context.now_ms()
        )
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change name or note."""
        self.update(self.row(tenant, key), **values)
        return self.got(tenant, key)

    def change_members(self, tenant: Tenant, key: int, wanted: people.MembersChange) -> Document:
        """Put members in and take members out.

        Raises:
            InvalidFieldsError: an id is none of the group's company and kind; all such are named.
        """
        with self.database.transaction():
            group = self.row(tenant, key)
            column = COLUMNS[group.kind]
            field: Any = getattr(GroupMember, column)
            self._check_members(group, wanted.add)
            before = self.got(tenant, key)["members"]
            for first in range(0, len(wanted.remove), AT_ONCE):
                chosen = field.in_(wanted.remove[first : first + AT_ONCE])
                GroupMember.delete().where((GroupMember.group_id == key) & chosen).execute()
            self.database.many(
                f"INSERT INTO group_members (company_id, group_id, {column}) VALUES (?, ?, ?) "  # noqa: S608 - constants
                f"ON CONFLICT (group_id, {column}) DO NOTHING",
                [(group.company_id, key, member) for member in dict.fromkeys(wanted.add)],
            )
            self.update(group)
            document = self.got(tenant, key)
            entry = Entry(
                noun=self.noun,
                key=str(key),
                action="change members",
                before={"members": before},
                after={"members": document["members"], "added": wanted.add, "removed": wanted.remove},
                company_id=group.company_id,
            )
            self.trail.write(tenant, [entry])
        return document

    @staticmethod
    def _check_members(group: Group, ids: Sequence[int]) -> None:
        model = MODELS[group.kind]
        company = Tenant.of(group.company_id)
        known: set[int] = set()
        for first in range(0, len(ids), AT_ONCE):
            query: Any = visible(company, model).where(model.id.in_(ids[first : first + AT_ONCE]))
            known.update(row.id for row in query)
        remedy = f"name {group.kind} of the group's company"
        wrong = [FieldProblem(f"add.{line}", member, remedy) for line, member in enumerate(ids) if member not in known]
        if wrong:
            raise InvalidFieldsError(f"{len(wrong)} of {len(ids)} in add: {remedy}", tuple(wrong[:SHOWN_WRONG]))


class GroupMembers(Listed[GroupMember]):
    """What is in a group."""

    noun = "member of a group"
    model = GroupMember

    def documents(self, rows: Sequence[GroupMember]) -> list[Document]:
        """Show which house, panel or apartment it is."""
        return [
            {"id": r.id, "house_id": r.house_id, "panel_id": r.panel_id, "apartment_id": r.apartment_id} for r in rows
        ]


class GroupApartments(Listed[Apartment]):
    """The apartments that a group stands for: of its houses, behind its panels, or its own."""

    noun = "apartment of a group"
    model = Apartment

    def listed(self, tenant: Tenant, asked: Asked) -> Page:
        """Return a page of them; the filter `group_id` names the group."""
        find(tenant, Group, "group", asked.filters["group_id"])
        return super().listed(tenant, asked)

    def ids(self, tenant: Tenant, group_id: int) -> list[int]:
        """Return the ids of all of them, for work in the background."""
        find(tenant, Group, "group", group_id)
        rows: Any = visible(tenant, Apartment).where(self._of_group(group_id)).order_by(Apartment.id)
        return [row.id for row in rows]

    def documents(self, rows: Sequence[Apartment]) -> list[Document]:
        """Show where they are."""
        return [{"id": r.id, "house_id": r.house_id, "entrance_id": r.entrance_id, "number": r.number} for r in rows]

    @staticmethod
    def _of_group(group_id: int) -> Any:
        kind = Group.get_by_id(group_id).kind
        column: Any = getattr(GroupMember, COLUMNS[kind])
        members = GroupMember.select(column).where(GroupMember.group_id == group_id)
        if kind == "houses":
            return Apartment.house_id.in_(members)
        if kind == "apartments":
            return Apartment.id.in_(members)
        here = (PanelPlace.house_id == Apartment.house_id) & (
            PanelPlace.entrance_id.is_null() | (PanelPlace.entrance_id == Apartment.entrance_id)
        )
        return fn.EXISTS(PanelPlace.select(PanelPlace.id).where(here & PanelPlace.panel_id.in_(members)))

    filters = {"group_id": _of_group}  # noqa: RUF012 - ClassVar in the base
