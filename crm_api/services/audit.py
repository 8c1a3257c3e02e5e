"""The audit log: who changed what, before and after, written in the change's own transaction.

`Kept` gives `create`, `change` and `remove` of every service to `audited` when the class is made, so that a service
cannot forget it; what the database removes with something is told with it, each by an entry of its own. Anything else
that changes something says `@audited("rotate password")`, or writes to the trail.

The states are the documents that the API shows, without secrets: those are no part of a document, and whatever bears
the name of one is left out here once more.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from crm_api.domain.problems import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crm_api.services.context import Context, Tenant

SECRETS: Final = frozenset(
    {
        "password",
        "current",
        "credentials",
        "token",
        "push_token",
        "secret",
        "ha1",
        "password_hash",
        "token_hash",
        "dtmf",
    }
)
"""Names whose values never reach the log, at any depth. A service adds its own in `Kept.secrets`."""
HIDDEN: Final = "(not shown)"

COLUMNS: Final = (
    "at_ms", "company_id", "principal_id", "who", "action", "noun", "key", "state_before", "state_after",
)  # fmt: skip
_WRITE = f"INSERT INTO audit_log ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - names of ours

Method = TypeVar("Method", bound="Callable[..., Any]")
State = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One change.

    Args:
        noun: what kind of thing, such as `house`.
        key: which one, as its address names it.
        action: `create`, `change`, `remove`, or a verb of its own.
        before: its state, None if it was not there.
        after: its state, None if it is no more.
        company_id: whose it is; None: the platform's.
    """

    noun: str
    key: str
    action: str
    before: State | None
    after: State | None
    company_id: int | None


class AuditTrail:
    """Adds to the log; every method must be called inside the transaction of the change."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def write(self, tenant: Tenant, entries: Iterable[Entry], secrets: frozenset[str] = frozenset()) -> None:
        """Add entries: one for each changed thing, whether one or a hundred thousand."""
        self._context.database.many(_WRITE, self.lines(tenant, entries, secrets))

    def lines(
        self, tenant: Tenant, entries: Iterable[Entry], secrets: frozenset[str] = frozenset()
    ) -> list[tuple[object, ...]]:
        """Return the rows (`COLUMNS`) that `write` adds, for who has them lie ready before the transaction."""
        hidden = SECRETS | secrets
        now_ms = self._context.now_ms()
        return [
            (
                now_ms,
                entry.company_id,
                tenant.principal_id,
                tenant.name or "platform",
                entry.action,
                entry.noun,
                entry.key,
                _text(entry.before, hidden),
                _text(entry.after, hidden),
            )
            for entry in entries
        ]


def audited(action: str) -> Callable[[Method], Method]:
    """Wrap a method `(self, tenant, key or new, ...)` of a `Kept` service: transaction, states, entry.

    The answer of the method is taken for the state after the change when it is a document.
    """

    def wrap(method: Method) -> Method:
        @functools.wraps(method)
        def wrapped(self: Any, tenant: Tenant, subject: Any, *arguments: Any, **more: Any) -> Any:
            try:
                return done(self, tenant, subject, *arguments, **more)
            except ConflictError as conflict:
                asked = subject if action == "create" else next(iter(arguments), None)
                given = asked if isinstance(asked, dict) else getattr(asked, "__dict__", {})
                conflict.name_values({name: value for name, value in given.items() if name not in SECRETS})
                raise

        def done(self: Any, tenant: Tenant, subject: Any, *arguments: Any, **more: Any) -> Any:
            with self.database.transaction():
                before = None if action == "create" else self.got(tenant, subject)
                along = self.going_along(tenant, subject) if action == "remove" else []
                answer = method(self, tenant, subject, *arguments, **more)
                after = None
                if action != "remove":
                    after = answer if isinstance(answer, dict) else self.got(tenant, subject)
                known: State = after or before or {}
                for entries, secrets in along:
                    self.trail.write(tenant, entries, secrets)
                self.trail.write(
                    tenant,
                    [
                        Entry(
                            noun=self.noun,
                            key=str(known[self.key_field]),
                            action=action,
                            before=before if after is None or before is None else _differing(before, after),
                            after=after
                            if before is None or after is None
                            else _differing(after, before, arguments, SECRETS | self.secrets),
                            company_id=_of_one(self.company_of(state) for state in (before, after) if state),
                        )
                    ],
                    self.secrets,
                )
            return answer

        wrapped.audited = action  # type: ignore[attr-defined]  # seen by the test that goes over all services
        return wrapped  # type: ignore[return-value]

    return wrap


def _of_one(companies: Iterable[int | None]) -> int | None:
    """Return whose an entry is: of the only one; what was another's before, its new company is not told."""
    told = set(companies)
    return told.pop() if len(told) == 1 else None


def _differing(state: State, other: State, arguments: tuple[Any, ...] = (), secrets: frozenset[str] = SECRETS) -> State:
    """Return what differs from the other state, and the secrets that were sent (documents never hold them)."""
    found = {name: value for name, value in state.items() if name not in other or other[name] != value}
    for argument in arguments:
        if isinstance(argument, dict):
            found.update({name: HIDDEN for name in argument if name in secrets})
    return found


def _text(state: State | None, hidden: frozenset[str]) -> str | None:
    if state is None:
        return None
    return json.dumps(_without_secrets(state, hidden), ensure_ascii=False, separators=(",", ":"), default=str)


def _without_secrets(value: Any, hidden: frozenset[str]) -> Any:
    if isinstance(value, dict):
        shown: Mapping[str, Any] = value
        return {
            name: HIDDEN if name in hidden and part is not None else _without_secrets(part, hidden)
            for name, part in shown.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_secrets(part, hidden) for part in value]
    return value
