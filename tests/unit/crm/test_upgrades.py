"""An installation of an earlier release, with one of everything in it, becomes one of this release."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import falcon.testing
import pytest
from cryptography.fernet import Fernet

from crm_api import migrations
from crm_api.adapters.encryption import Encryption
from crm_api.app import create_app, declared
from crm_api.bootstrap import make_services
from crm_api.services.context import Context
from tests.unit.crm import release_rows
from tests.unit.crm.conftest import REALM, Api, Clock, empty_database
from tests.unit.crm.fakes import FakeCache
from tests.unit.crm.furnished import furnished_company
from tests.unit.crm.old_releases import make_release_before
from tests.unit.crm.release_rows import RELEASES, put, rows_in, tables_of

if TYPE_CHECKING:
    from pathlib import Path

    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

_SHOWN = {
    "companies": "companies", "houses": "houses", "apartments": "apartments", "panels": "panels", "keys": "rfid_keys",
    "trunks": "trunks", "webhooks": "webhooks", "city-numbers": "city_numbers", "probe-campaigns": "probe_campaigns",
}  # fmt: skip
"""Tables that a list shows whole."""
_LAST = "n"
"""Comes after the name of every migration."""


@pytest.mark.parametrize("release", sorted(path.stem for path in RELEASES.glob("m*.json")))
def test_everything_of_an_earlier_release_is_there_after_the_upgrade(tmp_path: Path, release: str) -> None:
    kept = json.loads((RELEASES / f"{release}.json").read_text(encoding="utf-8"))
    for database in empty_database(tmp_path):
        following = next((name for name in migrations.names() if name > release), _LAST)
        make_release_before(database, following, [])
        put(database, kept)
        migrations.migrate(database)
        lost = Counter({table: len(there["rows"]) for table, there in kept.items()})
        lost.subtract({table: len(there["rows"]) for table, there in rows_in(database).items()})
        assert {table: count for table, count in lost.items() if count > 0} == {}
        if database.dialect == "sqlite":
            assert database.rows("PRAGMA foreign_key_check") == []
        _every_list_is_shown(database, tmp_path, kept)


def _every_list_is_shown(database: CrmDatabase, directory: Path, kept: release_rows.Rows) -> None:
    context = Context(database, REALM, Encryption(Fernet.generate_key()), Clock())
    services = make_services(context, probe_recordings=directory)
    cache: Any = FakeCache()
    platform = Api(
        falcon.testing.TestClient(create_app(services, database, cache)), services.tokens.create("t", "platform")
    )
    lists = [
        endpoint.plain_path
        for endpoint in declared(services, database, cache)
        for operation in endpoint.operations
        if operation.method == "GET" and "{" not in endpoint.plain_path and operation.answers[0].is_page
    ]
    assert len(lists) > 30
    shown = {path: len(platform("GET", path)["items"]) for path in lists}
    for noun, table in _SHOWN.items():
        assert shown[f"/v1/{noun}"] == len(kept[table]["rows"]) > 0, noun


def test_a_file_of_a_release_holds_all_that_a_database_keeps(
    town: Town, database: CrmDatabase, services: Services, tmp_path: Path
) -> None:
    """With `ENTRYPHONE_WRITES_RELEASE` set it is written: when a release is made."""
    furnished_company(town, database, services)
    told = json.loads(json.dumps(rows_in(database)))
    (tmp_path / "other").mkdir()
    for other in empty_database(tmp_path / "other"):
        migrations.migrate(other)
        put(other, told)
        assert rows_in(other) == rows_in(database)
        if os.environ.get("ENTRYPHONE_WRITES_RELEASE"):
            release_rows.write(other)
    filled = {table for table, there in told.items() if there["rows"]}
    assert len(filled) > len(tables_of(database)) // 2
