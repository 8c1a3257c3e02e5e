"""The X-Entryphone headers: names, what they hold, and how they are kept inside (docs/contracts.md, section 3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

PREFIX = "X-Entryphone-"
KIND = "X-Entryphone-Kind"
ACCOUNTS = "X-Entryphone-Accounts"
CALL_ID = "X-Entryphone-Call-Id"
STAGE = "X-Entryphone-Stage"
ANSWERED_BY = "X-Entryphone-Answered-By"

MAX_ACCOUNTS = 30

_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)
_ANY_PRIVATE = "^" + PREFIX
_MARK = PREFIX.lower()


def is_account_name(text: str) -> bool:
    """Tell whether the text can be an account's name. Nothing else may reach SQL or a header of ours."""
    return _ACCOUNT.fullmatch(text) is not None


def parse_accounts(value: str) -> tuple[str, ...]:
    """Accounts of an `X-Entryphone-Accounts` header, in order, each once.

    Raises:
        ValueError: none, more than 30, or something that is no account name.
    """
    accounts = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if len(accounts) > MAX_ACCOUNTS:
        raise ValueError(f"{ACCOUNTS} names {len(accounts)} accounts: at most {MAX_ACCOUNTS} fit a stage")
    for account in accounts:
        if not is_account_name(account):
            raise ValueError(f"{ACCOUNTS} holds {account!r}, which is no account name")
    return accounts


def strip_private(ksr: Ksr) -> None:
    """Remove every X-Entryphone header from the message.

    Removing by expression compiles it each time, so the text is searched first: almost no message has such a header.
    Text that is not UTF-8 cannot be searched here, so there the expression is used at once.
    """
    try:
        text = ksr.kx.get_msgbuf()
    except UnicodeDecodeError:
        text = None
    if text is None or _MARK in text.lower():
        ksr.textops.remove_hf_re(_ANY_PRIVATE)
