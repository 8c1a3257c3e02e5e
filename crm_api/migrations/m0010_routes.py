"""Where calls go: codes typed at panels and their locks, limits, neighbours, quiet hours, order of residents."""

from crm_api.migrations.rebuilding import postgresql_only, rebuilt, sqlite_only

FOREIGN_KEYS_OFF = True
"""`panel_places` gets another CHECK."""

COMPANIES = (
    # A panel, or an entrance, at which so many wrong codes were typed in a row takes none for so long.
    "ALTER TABLE companies ADD COLUMN code_tries {int} NOT NULL DEFAULT 5 CHECK (code_tries BETWEEN 3 AND 100)",
    "ALTER TABLE companies ADD COLUMN code_lock_s {int} NOT NULL DEFAULT 600 CHECK (code_lock_s BETWEEN 1 AND 86400)",
    """ALTER TABLE companies ADD COLUMN neighbour_calls TEXT NOT NULL DEFAULT 'none'
    CHECK (neighbour_calls IN ('none', 'house', 'estate'))""",
    "ALTER TABLE companies ADD COLUMN look_limit_s {int} NOT NULL DEFAULT 60 CHECK (look_limit_s BETWEEN 5 AND 600)",
    "ALTER TABLE companies ADD COLUMN ring_limit_s {int} NOT NULL DEFAULT 120 CHECK (ring_limit_s BETWEEN 5 AND 600)",
)

PANELS = (
    # NULL: what the company has set.
    "ALTER TABLE panels ADD COLUMN ring_limit_s {int} CHECK (ring_limit_s BETWEEN 5 AND 600)",
    "ALTER TABLE panels ADD COLUMN talk_limit_s {int} CHECK (talk_limit_s BETWEEN 10 AND 3600)",
    "ALTER TABLE panels ADD COLUMN separator TEXT CHECK (separator IN ('*', '#'))",
)

RINGING = (
    # Minutes after midnight where the house stands; from > until: over midnight.
    "ALTER TABLE accounts ADD COLUMN quiet_from_min {int} CHECK (quiet_from_min BETWEEN 0 AND 1439)",
    "ALTER TABLE accounts ADD COLUMN quiet_until_min {int} CHECK (quiet_until_min BETWEEN 0 AND 1439)",
    "ALTER TABLE residencies ADD COLUMN ring_order {int} CHECK (ring_order BETWEEN 1 AND 99)",
    "ALTER TABLE ring_stages ADD COLUMN one_by_one {bool} NOT NULL DEFAULT {false}",
    # A desk that is a telephone: a trunk dials the number.
    "ALTER TABLE concierge_desks ADD COLUMN phone TEXT",
)

# A gate's code: as long as the operator likes; with a panel's separator even of one digit.
CODES = (
    *rebuilt(
        "panel_places",
        """
    id {id},
    panel_id {int} NOT NULL,
    company_id {int} NOT NULL,
    house_id {int} NOT NULL,
    entrance_id {int},
    code TEXT NOT NULL CHECK (length(code) <= 4),
    UNIQUE (panel_id, code),
    FOREIGN KEY (panel_id, company_id) REFERENCES panels (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id),
    FOREIGN KEY (entrance_id, house_id) REFERENCES entrances (id, house_id)
""",
        "id, panel_id, company_id, house_id, entrance_id, code",
    ),
    *sqlite_only("CREATE INDEX panel_places_house ON panel_places (house_id)"),
    *postgresql_only(
        "ALTER TABLE panel_places DROP CONSTRAINT panel_places_code_check",
        "ALTER TABLE panel_places ADD CONSTRAINT panel_places_code_check CHECK (length(code) <= 4)",
    ),
)

LOCKS = (
    """CREATE TABLE code_locks (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL REFERENCES companies (id),
    panel_id {int} UNIQUE,
    entrance_id {int} UNIQUE,
    gate_id {int} UNIQUE,
    wrong {int} NOT NULL CHECK (wrong >= 0),
    last_wrong_at_ms {int} NOT NULL,
    locked_until_ms {int},
    FOREIGN KEY (panel_id, company_id) REFERENCES panels (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (entrance_id, company_id) REFERENCES entrances (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (gate_id, company_id) REFERENCES gates (id, company_id) ON DELETE CASCADE
){strict}""",
    "CREATE INDEX code_locks_company ON code_locks (company_id)",
)

STATEMENTS = (*COMPANIES, *PANELS, *RINGING, *CODES, *LOCKS)
