"""Rows that are listed, read, made, changed and removed: what all such services have in common."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from peewee import TextField, Tuple

from crm_api.domain.problems import ForbiddenError, InvalidFieldsError, ProblemError, ReferredError
from crm_api.services.audit import AuditTrail, Entry, audited
from crm_api.services.changes import Changes
from crm_api.services.context import Row, Tenant, find, visible
from crm_api.services.idempotency import Idempotency
from crm_api.services.paging import Asked, Page, cursor_after, position
from crm_api.tables.many_ids import batches
from crm_api.tables.models import Company
from crm_api.tables.references import going_along, referring

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from crm_api.services.context import Context
    from crm_api.services.idempotency import Repeatable

Document = dict[str, Any]
Expected = frozenset[str] | None
"""ETags that a change may meet; None: whatever there is (`If-Match: *`)."""


class StaleError(ProblemError):
    """Somebody else has changed the row since it was read."""

    kind = "stale"


class Listed(Generic[Row]):
    """Base of services that show the rows of one table: lists in pages, and single rows."""

    noun: str
    model: type[Row]
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """Filters that are more than "this column has this value": name in the query -> condition of peewee."""

    hidden: ClassVar[frozenset[str]] = frozenset()
    """Columns that no document shows."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.database = context.database

    def listed(self, tenant: Tenant, asked: Asked) -> Page:
        """Return a page. The sort column must never be NULL and should have an index that ends with the id."""
        model: Any = self.model
        column = getattr(model, asked.column)
        after = position(asked, tenant, self.noun, (str if isinstance(column, TextField) else int, int))
        rows = self._rows(tenant, asked, column, after)
        more = len(rows) > asked.limit
        rows = rows[: asked.limit]
        last: Any = rows[-1] if more else None
        following = None if last is None else (getattr(last, asked.column), last.id)
        return Page(
            self.documents(rows),
            None if following is None else cursor_after(asked, tenant, self.noun, following),
        )

    def seen(self, tenant: Tenant) -> Any:
        """Return the query of all rows that the tenant may see."""
        return visible(tenant, self.model)

    def got(self, tenant: Tenant, key: Any) -> Document:
        """Return one document, or raise `NotFoundError`."""
        return self.documents([self.row(tenant, key)])[0]

    def row(self, tenant: Tenant, key: Any) -> Row:
        """Return one row, or raise `NotFoundError`."""
        return find(tenant, self.model, self.noun, key)

    def documents(self, rows: Sequence[Row]) -> list[Document]:
        """Return what the API shows of the rows."""
        return [self.shown_of(row) for row in rows]

    def shown_of(self, row: Row) -> Document:
        """Return what is shown of the row's own columns."""
        return {name: value for name, value in row.__data__.items() if name not in self.hidden}

    def condition(self, name: str, value: Any) -> Any:
        """Return the condition that a filter stands for."""
        condition = self.filters.get(name)
        return getattr(self.model, name) == value if condition is None else condition(value)

    def _rows(self, tenant: Tenant, asked: Asked, column: Any, after: tuple[Any, ...] | None) -> list[Row]:
        """Return one row more than asked for, if there is one."""
        model: Any = self.model
        companies = tenant.companies or frozenset()
        if (
            len(companies) > 1
            and asked.column == "id"
            and hasattr(model, "company_id")
            and "company_id" not in asked.filters
        ):
            # A page for each company, each read from its index in order; one query over all would have to sort them.
            pages = [self._rows(Tenant.of(company), asked, column, after) for company in sorted(companies)]
            found: dict[int, Any] = {row.__data__["id"]: row for page in pages for row in page}
            ordered = sorted(found.values(), key=attrgetter("id"), reverse=asked.descending)
            return ordered[: asked.limit + 1]
        query = self.seen(tenant)
        for name, value in asked.filters.items():
            query = query.where(self.condition(name, value))
        place = model.id if column is model.id else Tuple(column, model.id)
        if after is not None:
            edge = after[1] if column is model.id else after
            query = query.where(place < edge if asked.descending else place > edge)
        order = [model.id] if column is model.id else [column, model.id]
        query = query.order_by(*(c.desc() if asked.descending else c for c in order))
        return list(query.limit(asked.limit + 1))


_NOUNS: dict[str, list[type[Kept[Any]]]] = {}
"""By table, who tells of its rows."""


class Kept(Listed[Row]):
    """Base of the services of one noun that can be made, changed and removed.

    The API calls `made`, `changed` and `removed`: they own the transaction and what every change has in common. A noun
    writes `create` and `change`, and `remove` when there is more to it; `change` must end with `update`, even when only
    rows below it have changed.
    """

    key_field: ClassVar[str] = "id"
    """Field of a document that names it in its address."""
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Fields that the audit log does not show, beyond those that it never shows."""
    comes_and_goes: ClassVar[bool] = False
    """Rows end by themselves, and nobody is told: nor when they go with something else."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.changes = Changes(context)
        self.idempotency = Idempotency(context)
        self.trail = AuditTrail(context)

    def __init_subclass__(cls, **more: Any) -> None:
        """Have every change of every service written to the audit log, and what goes with something else."""
        super().__init_subclass__(**more)
        if "noun" in vars(cls) and not cls.comes_and_goes:
            _NOUNS.setdefault(cls.model._meta.table_name, []).append(cls)  # noqa: SLF001 - peewee's name for it
        for action in ("create", "change", "remove"):
            method = vars(cls).get(action)
            if method is not None:
                setattr(cls, action, audited(action)(method))

    def company_of(self, document: Document) -> int | None:
        """Return whose a document is; None: the platform's."""
        company_id: int | None = document.get("company_id")
        return company_id

    def removed_too(self, row: Any) -> Mapping[str, Collection[int]]:  # noqa: ARG002 - for those that have some
        """Return what `remove` removes besides the row, as ids by table; what the database removes goes unsaid."""
        return {}

    def going_along(self, tenant: Tenant, key: Any) -> list[tuple[list[Entry], frozenset[str]]]:
        """Return what the audit log is told of all that goes with a row, and which fields it does not show."""
        row: Any = self.row(tenant, key)
        own: str = row._meta.table_name  # noqa: SLF001 - peewee's name for it
        gone = going_along(self.database, {own: [row.id], **self.removed_too(row)}, _NOUNS)
        gone[own].discard(row.id)
        return [
            (services.told_removed(ids), services.secrets)
            for table, ids in sorted(gone.items())
            for services in (service(self.context) for service in _NOUNS.get(table, ()))
            if ids
        ]

    def told_removed(self, ids: Collection[int]) -> list[Entry]:
        """Return what the audit log is told of rows of this noun that are removed."""
        fields: Any = self.model
        everything = self.seen(Tenant(None)).order_by(fields.id)
        return [
            Entry(self.noun, str(shown[self.key_field]), "remove", shown, None, self.company_of(shown))
            for some in batches(sorted(ids))
            for shown in self.documents(list(everything.where(fields.id.in_(some))))
        ]

    def create(self, tenant: Tenant, new: Any) -> Document:
        """Make a row."""
        raise NotImplementedError

    def change(self, tenant: Tenant, key: Any, values: dict[str, Any]) -> Document:
        """Change a row; `values` holds the fields that were sent."""
        raise NotImplementedError

    @audited("remove")
    def remove(self, tenant: Tenant, key: Any) -> None:
        """Remove a row, unless others refer to it; a noun with more to say has its own."""
        self.row(tenant, key).delete_instance()

    def made(self, tenant: Tenant, new: Any, wish: Repeatable | None = None) -> Document:
        """Make a row for the API, once for each `Idempotency-Key`."""
        return self.idempotency.once(tenant, wish, lambda: self.create(tenant, new))

    def changed(self, tenant: Tenant, key: Any, values: dict[str, Any], expected: Expected) -> Document:
        """Change a row for the API, unless it is no longer the one that was read.

        Raises:
            StaleError: its ETag is none of `expected`.
        """
        with self.database.transaction():
            self._must_be_expected(tenant, key, expected)
            return self.change(tenant, key, values)

    def removed(self, tenant: Tenant, key: Any, expected: Expected) -> None:
        """Remove a row for the API, unless it is no longer the one that was read.

        Raises:
            StaleError: its ETag is none of `expected`.
            ReferredError: others refer to it; names how many of what.
        """
        try:
            with self.database.transaction():
                self._must_be_expected(tenant, key, expected)
                self.remove(tenant, key)
        except ReferredError as error:
            row: Any = self.row(tenant, key)
            found = referring(self.database, row._meta.table_name, row.id)  # noqa: SLF001 - peewee's name for it
            told = ", ".join(f"{name.replace('_', ' ')} ({count})" for name, count in found.items())
            raise ReferredError(f"Others refer to this {self.noun}: {told}; remove them first") from error

    def update(self, row: Row, **values: Any) -> None:
        """Write the values given, and count the change.

        Raises:
            StaleError: another transaction has changed the row since this one read it.
        """
        fields: Any = self.model
        identity: Any = row
        condition = fields.id == identity.id
        if hasattr(fields, "version"):
            condition &= fields.version == identity.version
            values["version"] = identity.version + 1
        if values and self.model.update(**values).where(condition).execute() == 0:
            raise StaleError(f"The {self.noun} was changed by somebody else at the same moment; read it and try again")
        identity.version = values.get("version")

    def _must_be_expected(self, tenant: Tenant, key: Any, expected: Expected) -> None:
        if expected is None:
            return
        row: Any = self.row(tenant, key)
        if self.database.dialect == "postgresql" and hasattr(row, "version"):
            # Held until the end: else somebody else may commit between this look and that of `change`, and go unseen.
            model: Any = self.model
            row = model.select(model.id, model.version).where(model.id == row.id).for_update().get_or_none() or row
        current = etag_of(row.__data__)
        if current not in expected:
            raise StaleError(f"The {self.noun} was changed meanwhile: its ETag is {current}; read it and decide anew")


def etag_of(document: Document) -> str | None:
    """Return the ETag of a row or document: its id, as names may come again, and its version."""
    return f'"{document["id"]}-{document["version"]}"' if "version" in document else None


def company_for(tenant: Tenant, company_id: int | None) -> int:
    """Return the company that a new row belongs to: the one named, or the only one that the tenant has."""
    chosen = tenant.only_company if company_id is None else company_id
    if chosen is None:
        raise InvalidFieldsError.one("company_id", None, "name the company")
    find(tenant, Company, "company", chosen)
    return chosen


def platform_only(tenant: Tenant) -> None:
    """Refuse whoever is limited to companies."""
    if not tenant.is_platform:
        raise ForbiddenError("Only who may act for every company may do this; this token is limited to some")
