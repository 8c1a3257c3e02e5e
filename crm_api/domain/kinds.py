"""Kinds of SIP accounts and what follows from a kind."""

from __future__ import annotations

from typing import Final, Literal, get_args

AccountKind = Literal["panel", "handset", "indoor_unit", "app", "home_gateway", "concierge", "phone", "trunk"]
HouseholdKind = Literal["handset", "indoor_unit", "app", "home_gateway", "phone"]

ACCOUNT_KINDS: Final[tuple[str, ...]] = get_args(AccountKind)
HOUSEHOLD_KINDS: Final[tuple[str, ...]] = get_args(HouseholdKind)
"""Accounts of these kinds belong to an apartment; all others belong to none."""
