"""Kinds of blocks, blocks on apartments, and kept ring plans: the rules that ring plans are decided by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import JOIN

from crm_api.domain.problems import ConflictError, InvalidFieldsError
from crm_api.services.audit import audited
from crm_api.services.context import Tenant, find, visible
from crm_api.services.kept import Document, Kept, company_for
from crm_api.services.wrong_fields import WrongFields
from crm_api.tables.models import (
    Account,
    Apartment,
    Block,
    BlockKind,
    House,
    RingPlanRow,
    RingStage,
    RingTarget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.blocks import NewBlock, NewBlockKind
    from crm_api.domain.inputs.ring_plans import NewRingPlan


class BlockKinds(Kept[BlockKind]):
    """Kinds of blocks that a company defines."""

    noun = "block kind"
    model = BlockKind

    def create(self, tenant: Tenant, new: NewBlockKind) -> Document:
        """Make a kind of block."""
        with self.database.transaction():
            values = new.model_dump(exclude={"company_id"})
            row = BlockKind.create(company_id=company_for(tenant, new.company_id), **values)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change what a kind stops; every apartment under such a block is planned anew."""
        with self.database.transaction():
            self.update(self.row(tenant, key), **values)
            self.changes.block_kind(key)
        return self.got(tenant, key)


class Blocks(Kept[Block]):
    """Blocks on apartments; a block that begins or ends later is delivered at that moment."""

    noun = "block"
    model = Block

    def condition(self, name: str, value: Any) -> Any:
        """Return the condition of a filter; `in_force` asks the clock."""
        if name != "in_force":
            return super().condition(name, value)
        now_ms = self.context.now_ms()
        over = Block.ends_at_ms <= now_ms
        if value:
            return (Block.starts_at_ms <= now_ms) & (Block.ends_at_ms.is_null() | ~over)
        return (Block.starts_at_ms > now_ms) | over

    def create(self, tenant: Tenant, new: NewBlock) -> Document:
        """Put a block on an apartment."""
        now_ms = self.context.now_ms()
        starts_at_ms = now_ms if new.starts_at_ms is None else new.starts_at_ms
        if new.ends_at_ms is not None and new.ends_at_ms <= starts_at_ms:
            raise InvalidFieldsError.one("ends_at_ms", new.ends_at_ms, f"must be after the start, {starts_at_ms}")
        with self.database.transaction():
            apartment = find(tenant, Apartment, "apartment", new.apartment_id)
            kind = find(Tenant.of(apartment.company_id), BlockKind, "block kind", new.kind_id)
            row = Block.create(
                company_id=apartment.company_id,
                apartment_id=apartment.id,
                kind_id=kind.id,
                reason=new.reason,
                starts_at_ms=starts_at_ms,
                ends_at_ms=new.ends_at_ms,
                created_at_ms=now_ms,
            )
            self._announce(row.apartment_id, row.starts_at_ms, row.ends_at_ms)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change reason or end."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if "ends_at_ms" in values and row.lifted_at_ms is not None:
                raise ConflictError("ends_at_ms: the block has been lifted; put a new one on the apartment")
            ends_at_ms = values.get("ends_at_ms")
            if ends_at_ms is not None and ends_at_ms <= row.starts_at_ms:
                raise InvalidFieldsError.one("ends_at_ms", ends_at_ms, f"must be after the start, {row.starts_at_ms}")
            self.update(row, **values)
            self._announce(row.apartment_id, self.context.now_ms(), ends_at_ms)
        return self.got(tenant, key)

    @audited("lift")
    def lift(self, tenant: Tenant, key: int, reason: str) -> Document:
        """Take the block off from now, for a reason; it stays on record.

        Raises:
            ConflictError: it has not begun, or is over already.
        """
        with self.database.transaction():
            row = self.row(tenant, key)
            now_ms = self.context.now_ms()
            if row.starts_at_ms >= now_ms:
                raise ConflictError("The block has not begun: remove it instead")
            if row.ends_at_ms is not None and row.ends_at_ms <= now_ms:
                raise ConflictError(f"The block is over since {row.ends_at_ms}: there is nothing to take off")
            self.update(row, ends_at_ms=now_ms, lifted_at_ms=now_ms, lift_reason=reason)
            self.changes.apartments([row.apartment_id])
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Take the block off, and off the record: it was a mistake."""
        with self.database.transaction():
            row = self.row(tenant, key)
            row.delete_instance()
            self.changes.apartments([row.apartment_id])

    def _announce(self, apartment_id: int, starts_at_ms: int, ends_at_ms: int | None) -> None:
        self.changes.apartments([apartment_id])
        for moment in (starts_at_ms, ends_at_ms):
            if moment is not None and moment > self.context.now_ms():
                self.changes.apartments_at(moment, [apartment_id])


class RingPlans(Kept[RingPlanRow]):
    """Kept ring plans: a company's default, overridden for a house or an apartment."""

    noun = "ring plan"
    model = RingPlanRow

    def documents(self, rows: Sequence[RingPlanRow]) -> list[Document]:
        """Show plans with their stages."""
        ids = [row.id for row in rows]
        shown: dict[int, list[Document]] = {}
        stages: dict[int, Document] = {}
        for stage in (
            RingStage.select().where(RingStage.plan_id.in_(ids)).order_by(RingStage.plan_id, RingStage.position)
        ):
            document: Document = {
                "ring_timeout_s": stage.ring_timeout_s,
                "targets": [],
                "on_refusal": stage.on_refusal,
                "confirm": stage.confirm,
                "one_by_one": stage.one_by_one,
            }
            stages[stage.id] = document
            shown.setdefault(stage.plan_id, []).append(document)
        targets = (
            RingTarget.select(RingTarget.stage_id, RingTarget.kind, Account.account)
            .join(Account, JOIN.LEFT_OUTER, on=(RingTarget.account_id == Account.id))
            .where(RingTarget.stage_id.in_(list(stages)))
            .order_by(RingTarget.stage_id, RingTarget.position)
        )
        lines: Any = targets.tuples()
        for stage_id, kind, account in lines:
            stages[stage_id]["targets"].append({"kind": kind} if account is None else {"account": account})
        return [{**row.__data__, "stages": shown.get(row.id, [])} for row in rows]

    def create(self, tenant: Tenant, new: NewRingPlan) -> Document:
        """Keep a plan."""
        if new.house_id is not None and new.apartment_id is not None:
            raise InvalidFieldsError.one("house_id", new.house_id, "give house_id or apartment_id, not both")
        with self.database.transaction():
            stages = [stage.model_dump() for stage in new.stages]
            wrong = WrongFields()
            company_id = self._company(tenant, new, wrong)
            accounts = self._accounts(tenant if company_id is None else Tenant.of(company_id), stages, wrong)
            wrong.refuse()
            row = RingPlanRow.create(
                company_id=company_id, house_id=new.house_id, apartment_id=new.apartment_id, name=new.name
            )
            self._set_stages(row, stages, accounts)
            self._announce(row)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change name or stages."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if "stages" in values:
                stages, wrong = values.pop("stages"), WrongFields()
                accounts = self._accounts(Tenant.of(row.company_id), stages, wrong)
                wrong.refuse()
                RingStage.delete().where(RingStage.plan_id == key).execute()
                self._set_stages(row, stages, accounts)
            self.update(row, **values)
            self._announce(row)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a plan; the next wider one holds."""
        with self.database.transaction():
            row = self.row(tenant, key)
            self._announce(row)
            row.delete_instance()

    def check_accounts(self, company_id: int, stages: list[dict[str, Any]], before: str = "") -> None:
        """Look whether the accounts that stages name can ring for the company.

        Args:
            company_id: whose plan it will be.
            stages: of the plan.
            before: what the fields' names begin with.

        Raises:
            InvalidFieldsError: one cannot.
        """
        wrong = WrongFields()
        self._accounts(Tenant.of(company_id), stages, wrong, before)
        wrong.refuse()

    @staticmethod
    def _company(tenant: Tenant, new: NewRingPlan, wrong: WrongFields) -> int | None:
        """Return whose plan it will be; None when what it is for is not there, which is noted."""
        if new.apartment_id is not None:
            apartment = wrong.named(tenant, Apartment, "apartment", "apartment_id", new.apartment_id)
            return None if apartment is None else apartment.company_id
        if new.house_id is not None:
            house = wrong.named(tenant, House, "house", "house_id", new.house_id)
            return None if house is None else house.company_id
        return wrong.tried("company_id", new.company_id, lambda: company_for(tenant, new.company_id))

    @staticmethod
    def _accounts(
        company: Tenant, stages: list[dict[str, Any]], wrong: WrongFields, before: str = ""
    ) -> dict[str, int]:
        """Return the id of each account that stages name, by name; those that cannot ring are noted."""
        names = {target["account"] for stage in stages for target in stage["targets"]} - {None}
        query: Any = visible(company, Account).where(Account.account.in_(sorted(names)) & (Account.kind != "panel"))
        known = {account.account: account.id for account in query}
        for position, stage in enumerate(stages):
            for line, target in enumerate(stage["targets"]):
                if target["account"] in names - known.keys():
                    field = f"{before}stages.{position}.targets.{line}.account"
                    wrong.add(field, target["account"], "name an account of this company that can ring")
        return known

    @staticmethod
    def _set_stages(plan: RingPlanRow, stages: list[dict[str, Any]], accounts: dict[str, int]) -> None:
        for position, stage in enumerate(stages):
            row = RingStage.create(
                plan_id=plan.id,
                position=position,
                ring_timeout_s=stage["ring_timeout_s"],
                on_refusal=stage["on_refusal"],
                confirm=stage["confirm"],
                one_by_one=stage["one_by_one"],
            )
            for line, target in enumerate(stage["targets"]):
                account_id = accounts.get(target["account"])
                RingTarget.create(stage_id=row.id, position=line, kind=target["kind"], account_id=account_id)

    def _announce(self, row: RingPlanRow) -> None:
        if row.apartment_id is not None:
            self.changes.apartments([row.apartment_id])
        elif row.house_id is not None:
            self.changes.scope("house", row.house_id)
        else:
            self.changes.scope("company", row.company_id)
