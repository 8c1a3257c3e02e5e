"""What work on a group does to one member. Every action leaves what is so already as it is, and says so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from crm_api.domain.inputs import group_work as asked
from crm_api.domain.inputs.blocks import NewBlock
from crm_api.domain.inputs.ring_plans import NewRingPlan
from crm_api.domain.problems import InvalidFieldsError
from crm_api.services.accounts import Accounts
from crm_api.services.code_renewal import CodeRenewal
from crm_api.services.context import Tenant, find, visible
from crm_api.services.rules import Blocks, RingPlans
from crm_api.tables.models import Account, Apartment, Block, BlockKind, House, Panel, RingPlanRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.domain.inputs.group_work import GroupAction
    from crm_api.services.context import Context

Noun = Literal["apartment", "house", "panel", "entrance"]


@dataclass(frozen=True)
class Act:
    """What is done to each member: `do` says whether anything had to be changed."""

    noun: Noun
    do: Callable[[Tenant, int], bool]


class GroupActions:
    """The actions, by the services that people use one by one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._blocks = Blocks(context)
        self._ring_plans = RingPlans(context)
        self._accounts = Accounts(context)
        self._code_renewal = CodeRenewal(context)

    def check(self, company_id: int, action: GroupAction) -> None:
        """Refuse at once what would fail for every member.

        Raises:
            NotFoundError: the company has no such kind of block.
            InvalidFieldsError: a time that is over, or an account that cannot ring for the company.
        """
        company = Tenant.of(company_id)
        if isinstance(action, (asked.PutBlock, asked.LiftBlocks)):
            find(company, BlockKind, "block kind", action.kind_id)
        if isinstance(action, asked.PutBlock) and action.ends_at_ms is not None:
            start_ms = max(self._context.now_ms(), action.starts_at_ms or 0)
            if action.ends_at_ms <= start_ms:
                remedy = f"must be after the start, {start_ms}, and in the future"
                raise InvalidFieldsError.one("action.ends_at_ms", action.ends_at_ms, remedy)
        if isinstance(action, asked.SetRingPlan):
            self._ring_plans.check_accounts(company_id, [stage.model_dump() for stage in action.stages], "action.")

    def act(self, action: GroupAction, of_kind: str, company_id: int, job_id: int) -> Act:
        """Return what an action does to each member of a group of houses, panels or apartments."""
        planned: Literal["house", "apartment"] = "house" if of_kind == "houses" else "apartment"
        match action:
            case asked.PutBlock():
                act = Act("apartment", partial(self._put_block, action))
            case asked.LiftBlocks():
                act = Act("apartment", partial(self._lift_blocks, action))
            case asked.SetRingPlan():
                act = Act(planned, partial(self._set_ring_plan, action, planned))
            case asked.DropRingPlan():
                act = Act(planned, partial(self._drop_ring_plan, planned))
            case asked.SwitchAccounts():
                act = Act("apartment", partial(self._switch_accounts, action))
            case asked.SwitchPanels():
                act = Act("panel", partial(self._switch_panel, action))
            case asked.RenewCodes():
                act = Act("entrance", self._code_renewal.once_each(company_id, f"job {job_id}"))
        return act

    def _put_block(self, action: asked.PutBlock, tenant: Tenant, key: int) -> bool:
        if self._blocks_of(tenant, key, action.kind_id):
            return False
        self._blocks.create(tenant, NewBlock(apartment_id=key, **action.model_dump(exclude={"do"})))
        return True

    def _lift_blocks(self, action: asked.LiftBlocks, tenant: Tenant, key: int) -> bool:
        blocks = self._blocks_of(tenant, key, action.kind_id)
        for block in blocks:
            if block.starts_at_ms < self._context.now_ms():
                self._blocks.lift(tenant, block.id, action.reason)
            else:
                self._blocks.remove(tenant, block.id)
        return bool(blocks)

    def _blocks_of(self, tenant: Tenant, apartment_id: int, kind_id: int) -> list[Block]:
        """Return the blocks of this kind that are in force or will be."""
        find(tenant, Apartment, "apartment", apartment_id)
        not_over = Block.ends_at_ms.is_null() | (Block.ends_at_ms > self._context.now_ms())
        here = (Block.apartment_id == apartment_id) & (Block.kind_id == kind_id)
        return list(visible(tenant, Block).where(here & not_over))

    def _set_ring_plan(self, action: asked.SetRingPlan, noun: str, tenant: Tenant, key: int) -> bool:
        plan = self._plan_of(noun, tenant, key)
        stages = [stage.model_dump() for stage in action.stages]
        if plan is None:
            self._ring_plans.create(tenant, NewRingPlan(name=action.name, stages=action.stages, **{f"{noun}_id": key}))
            return True
        kept = self._ring_plans.got(tenant, plan.id)
        if (kept["name"], kept["stages"]) == (action.name, [_as_shown(stage) for stage in stages]):
            return False
        self._ring_plans.change(tenant, plan.id, {"name": action.name, "stages": stages})
        return True

    def _drop_ring_plan(self, noun: str, tenant: Tenant, key: int) -> bool:
        plan = self._plan_of(noun, tenant, key)
        if plan is not None:
            self._ring_plans.remove(tenant, plan.id)
        return plan is not None

    @staticmethod
    def _plan_of(noun: str, tenant: Tenant, key: int) -> RingPlanRow | None:
        if noun == "house":
            find(tenant, House, noun, key)
            mine = RingPlanRow.house_id == key
        else:
            find(tenant, Apartment, noun, key)
            mine = RingPlanRow.apartment_id == key
        found: RingPlanRow | None = visible(tenant, RingPlanRow).where(mine).first()
        return found

    def _switch_accounts(self, action: asked.SwitchAccounts, tenant: Tenant, key: int) -> bool:
        find(tenant, Apartment, "apartment", key)
        other = (Account.apartment_id == key) & (Account.enabled == (not action.enabled))
        if action.kinds is not None:
            other &= Account.kind.in_(action.kinds)
        names = [row.account for row in visible(tenant, Account).where(other)]
        for name in names:
            self._accounts.change(tenant, name, {"enabled": action.enabled})
        return bool(names)

    def _switch_panel(self, action: asked.SwitchPanels, tenant: Tenant, key: int) -> bool:
        account = Account.get_by_id(find(tenant, Panel, "panel", key).account_id)
        if account.enabled == action.enabled:
            return False
        self._accounts.change(tenant, account.account, {"enabled": action.enabled})
        return True


def _as_shown(stage: dict[str, Any]) -> dict[str, Any]:
    """Return a stage as `RingPlans` shows it."""
    targets = [{name: value for name, value in target.items() if value is not None} for target in stage["targets"]]
    return {**stage, "targets": targets}
