"""Billing as the platform sees it: which companies are customers, under which name and contract.

The interface is small on purpose, so that any billing system can offer it (docs/billing.md):
`GET <url>/v1/companies` with `Authorization: Bearer <token>` answers
`{"companies": [{"billing_id": "10045", "name": "Riverside Homes", "active": true, "contract": "2026-117"}]}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Protocol

import urllib3
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from crm_api.domain.csv_table import Column, CsvRow, RowProblem, read
from crm_api.domain.inputs.base import PRINTABLE
from crm_api.domain.problems import InvalidFieldsError

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_TIMEOUT_S: Final = 20.0
MAX_ANSWER_BYTES: Final = 10_000_000
OK: Final = 200
_YES: Final = frozenset({"1", "yes", "true", "active", "да"})
_NO: Final = frozenset({"0", "no", "false", "inactive", "нет", ""})

COLUMNS: Final = (
    Column("billing_id", required=True),
    Column("name", required=True),
    Column("active", required=True),
    Column("contract"),
)

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PRINTABLE)]


class BillingAwayError(Exception):
    """Billing could not be asked, or its answer makes no sense; the sentence says why."""


class BilledCompany(BaseModel):
    """One customer as billing has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    billing_id: Text
    name: Text
    active: Annotated[bool, Field(strict=True)]
    contract: Text | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    companies: list[BilledCompany]


class BillingSource(Protocol):
    """Tells the customers; raises `BillingAwayError`."""

    def companies(self) -> list[BilledCompany]:
        """Return every customer."""


class HttpBilling:
    """Billing over HTTP."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/v1/companies"
        self._token = token
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=3.0, read=ANSWER_TIMEOUT_S))

    def companies(self) -> list[BilledCompany]:
        """Ask once."""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        try:
            response = self._pool.request("GET", self._url, headers=headers, redirect=False, preload_content=False)
            try:
                body = response.read(MAX_ANSWER_BYTES)
            finally:
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise BillingAwayError(f"billing at {self._url} did not answer ({type(error).__name__})") from error
        if response.status != OK:
            raise BillingAwayError(f"billing at {self._url} answered {response.status}: check URL and token")
        try:
            return _Answer.model_validate_json(body).companies
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise BillingAwayError(
                f"billing at {self._url} sent no list of companies: {place}: {first['msg']}"
            ) from error


class CsvBilling:
    """Billing as a file that somebody exports: columns `billing_id`, `name`, `active`, `contract`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def companies(self) -> list[BilledCompany]:
        """Read the file."""
        try:
            table = read(self._path.read_bytes(), COLUMNS)
        except (OSError, InvalidFieldsError) as error:
            raise BillingAwayError(f"billing file {self._path}: {error}") from error
        return [self._company(row) for row in table.rows()]

    def _company(self, found: CsvRow | RowProblem) -> BilledCompany:
        if isinstance(found, RowProblem):
            raise BillingAwayError(f"billing file {self._path}, row {found.row}: {found.remedy}")
        number, row = found.number, found.cells
        active = row.get("active", "").lower()
        if active not in _YES | _NO:
            raise BillingAwayError(f"billing file {self._path}, row {number}: active is {active!r}: write yes or no")
        try:
            return BilledCompany(
                billing_id=row.get("billing_id", ""),
                name=row.get("name", ""),
                active=active in _YES,
                contract=row.get("contract") or None,
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise BillingAwayError(
                f"billing file {self._path}, row {number}: {first['loc'][0]}: {first['msg']}"
            ) from error
