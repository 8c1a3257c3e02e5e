"""What a panel keeps outlives its access code: when that is removed, by itself or with its home, the panel is told."""

from crm_api.migrations.rebuilding import postgresql_only, rebuilt, sqlite_only

FOREIGN_KEYS_OFF = True
"""On SQLite `panel_codes` gets another foreign key."""

STATEMENTS = (
    *rebuilt(
        "panel_codes",
        """
    id {id},
    company_id {int} NOT NULL,
    panel_id {int} NOT NULL,
    access_code_id {int} REFERENCES access_codes (id) ON DELETE SET NULL,
    place {int} NOT NULL,
    wanted TEXT NOT NULL CHECK (wanted IN ('present', 'absent')),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'done')),
    tries {int} NOT NULL DEFAULT 0,
    next_try_ms {int} NOT NULL DEFAULT 0,
    last_error TEXT,
    set_at_ms {int},
    UNIQUE (panel_id, access_code_id),
    FOREIGN KEY (panel_id, company_id) REFERENCES panels (id, company_id) ON DELETE CASCADE
""",
        "id, company_id, panel_id, access_code_id, place, wanted, state, tries, next_try_ms, last_error, set_at_ms",
    ),
    *sqlite_only(
        """CREATE UNIQUE INDEX panel_codes_place ON panel_codes (panel_id, place)
        WHERE NOT (wanted = 'absent' AND state = 'done')""",
        "CREATE INDEX panel_codes_due ON panel_codes (next_try_ms) WHERE state = 'waiting'",
        "CREATE INDEX panel_codes_code ON panel_codes (access_code_id)",
        "CREATE INDEX panel_codes_company ON panel_codes (company_id, id)",
    ),
    *postgresql_only(
        "ALTER TABLE panel_codes ALTER COLUMN access_code_id DROP NOT NULL",
        "ALTER TABLE panel_codes DROP CONSTRAINT panel_codes_access_code_id_fkey",
        """ALTER TABLE panel_codes ADD CONSTRAINT panel_codes_access_code_id_fkey
        FOREIGN KEY (access_code_id) REFERENCES access_codes (id) ON DELETE SET NULL""",
    ),
)
