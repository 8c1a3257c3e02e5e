from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase


def test_targets_of_an_account_are_found_by_their_index_where_most_name_none(database: CrmDatabase) -> None:
    if database.dialect != "sqlite":
        return  # PostgreSQL counts NULLs by themselves
    with database.transaction():
        database.rows("PRAGMA defer_foreign_keys = on")
        for number in range(500):
            database.rows(
                "INSERT INTO ring_stages (id, plan_id, position, ring_timeout_s, on_refusal) "
                "VALUES (?, 1, ?, 10, 'next')",
                (number + 1, number),
            )
            database.rows(
                "INSERT INTO ring_targets (stage_id, position, kind) VALUES (?, 0, 'all')",
                (number + 1,),
            )
        database.rows("ANALYZE")
        plan = database.rows(
            "EXPLAIN QUERY PLAN SELECT s.plan_id FROM ring_targets t JOIN ring_stages s ON s.id = t.stage_id "
            "WHERE t.account_id = ?",
            (1,),
        )
        database.rows("DELETE FROM ring_stages")
    assert "ring_targets_account" in str(plan), plan
