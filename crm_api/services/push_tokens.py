"""Push tokens: where the devices of an app's account are woken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain.problems import ConflictError, InvalidFieldsError
from crm_api.services.accounts import account_names
from crm_api.services.audit import audited
from crm_api.services.context import Tenant, visible
from crm_api.services.kept import Document, Kept
from crm_api.tables.fund import PushToken
from crm_api.tables.models import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crm_api.domain.inputs import push_tokens

MOST_DEVICES: Final = 20
"""Of one account: more are devices that were thrown away."""
SHOWN_END: Final = 6
KINDS: Final = ("app", "home_gateway", "concierge")


def _of_account(name: str) -> Any:
    return PushToken.account_id.in_(Account.select(Account.id).where(Account.account == name))


def _valid(wanted: bool) -> Any:
    return PushToken.invalidated_at_ms.is_null(wanted)


class PushTokens(Kept[PushToken]):
    """Push tokens; the text itself is written and never shown."""

    noun = "push token"
    model = PushToken
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"account": _of_account, "valid": _valid}

    def documents(self, rows: Sequence[PushToken]) -> list[Document]:
        """Show whose device it is, whether it is valid, and the token's end to tell two apart."""
        accounts = account_names([row.account_id for row in rows])
        return [
            {
                "id": row.id,
                "company_id": row.company_id,
                "account": accounts[row.account_id],
                "device": row.device,
                "platform": row.platform,
                "token_end": row.token[-SHOWN_END:],
                "created_at_ms": row.created_at_ms,
                "updated_at_ms": row.updated_at_ms,
                "invalidated_at_ms": row.invalidated_at_ms,
                "invalid_reason": row.invalid_reason,
                "version": row.version,
            }
            for row in rows
        ]

    def create(self, tenant: Tenant, new: push_tokens.NewPushToken) -> Document:
        """Keep a device's token; a device that had one gets this one in its place and is valid again."""
        now_ms = self.context.now_ms()
        with self.database.transaction():
            account: Account | None = visible(tenant, Account).where(Account.account == new.account).first()
            if account is None or account.kind not in KINDS:
                raise InvalidFieldsError.one("account", new.account, f"name an account of kind {' or '.join(KINDS)}")
            of_account = PushToken.account_id == account.id
            row = PushToken.select().where(of_account & (PushToken.device == new.device)).first()
            if row is not None:
                self.update(
                    row,
                    platform=new.platform,
                    token=new.token,
                    updated_at_ms=now_ms,
                    invalidated_at_ms=None,
                    invalid_reason=None,
                )
                self.changes.account_rings(account.id, account.apartment_id)
                return self.got(tenant, row.id)
            if PushToken.select().where(of_account).count() >= MOST_DEVICES:
                remedy = f"account {new.account} has {MOST_DEVICES} devices: remove one that is not used any more"
                raise ConflictError(f"device: {remedy}")
            row = PushToken.create(
                company_id=account.company_id,
                account_id=account.id,
                device=new.device,
                platform=new.platform,
                token=new.token,
                created_at_ms=now_ms,
                updated_at_ms=now_ms,
            )
            self.changes.account_rings(account.id, account.apartment_id)
        return self.got(tenant, row.id)

    @audited("invalidate")
    def invalidate(self, tenant: Tenant, key: int, reason: str) -> Document:
        """Stop using a token that the push service refused; said twice, the first reason stays."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.invalidated_at_ms is None:
                self.update(row, invalidated_at_ms=self.context.now_ms(), invalid_reason=reason)
                self._announce(row)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a device."""
        with self.database.transaction():
            row = self.row(tenant, key)
            self._announce(row)
            row.delete_instance()

    def _announce(self, row: PushToken) -> None:
        """Have every call that rings the account know whether a push wakes it."""
        account = Account.get_by_id(row.account_id)
        self.changes.account_rings(account.id, account.apartment_id)
