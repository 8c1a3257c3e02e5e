"""The housing fund whole: gates, relays, push tokens, keys, access codes, concierge desks, phones, jobs."""

from crm_api.migrations.rebuilding import postgresql_only, rebuilt, sqlite_only

FOREIGN_KEYS_OFF = True
"""`accounts`, `doors` and `ring_targets` get another CHECK."""

PLACES = (
    "ALTER TABLE cities ADD COLUMN dispatch_number TEXT",
    "ALTER TABLE companies ADD COLUMN billing_id TEXT",
    "CREATE UNIQUE INDEX companies_billing ON companies (billing_id)",
    "ALTER TABLE houses ADD COLUMN fias_id TEXT",
    "ALTER TABLE houses ADD COLUMN latitude {real} CHECK (latitude BETWEEN -90 AND 90)",
    "ALTER TABLE houses ADD COLUMN longitude {real} CHECK (longitude BETWEEN -180 AND 180)",
    "CREATE UNIQUE INDEX houses_fias ON houses (company_id, fias_id)",
    "CREATE UNIQUE INDEX entrances_company ON entrances (id, company_id)",
    "ALTER TABLE apartments ADD COLUMN label TEXT",
    "ALTER TABLE apartments ADD COLUMN floor {int} CHECK (floor BETWEEN -9 AND 200)",
    "CREATE UNIQUE INDEX apartments_label ON apartments (house_id, label)",
    """CREATE TABLE gates (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL REFERENCES companies (id),
    name TEXT NOT NULL,
    latitude {real} CHECK (latitude BETWEEN -90 AND 90),
    longitude {real} CHECK (longitude BETWEEN -180 AND 180),
    UNIQUE (company_id, name),
    UNIQUE (id, company_id)
){strict}""",
    """CREATE TABLE gate_houses (
    gate_id {int} NOT NULL,
    company_id {int} NOT NULL,
    house_id {int} NOT NULL,
    PRIMARY KEY (gate_id, house_id),
    FOREIGN KEY (gate_id, company_id) REFERENCES gates (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id) ON DELETE CASCADE
){keyed}""",
    "CREATE INDEX gate_houses_house ON gate_houses (house_id)",
)

KINDS = "'panel', 'handset', 'indoor_unit', 'app', 'home_gateway', 'concierge', 'phone', 'trunk'"
OF_AN_APARTMENT = "'handset', 'indoor_unit', 'app', 'home_gateway', 'phone'"

ACCOUNTS = (
    "DROP VIEW kamailio_accounts",
    *rebuilt(
        "accounts",
        f"""
    id {{id}},
    company_id {{int}} REFERENCES companies (id),
    apartment_id {{int}},
    account TEXT NOT NULL UNIQUE CHECK (length(account) BETWEEN 2 AND 32),
    kind TEXT NOT NULL CHECK (kind IN ({KINDS})),
    ha1 TEXT CHECK (length(ha1) = 32),
    enabled {{bool}} NOT NULL,
    created_at_ms {{int}} NOT NULL,
    resident_id {{int}} REFERENCES residents (id),
    phone TEXT,
    UNIQUE (id, company_id),
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE,
    CHECK ((apartment_id IS NOT NULL) = (kind IN ({OF_AN_APARTMENT}))),
    CHECK (company_id IS NOT NULL OR kind = 'trunk'),
    CHECK ((ha1 IS NULL) = (kind = 'phone')),
    CHECK ((phone IS NOT NULL) = (kind = 'phone'))
""",
        "id, company_id, apartment_id, account, kind, ha1, enabled, created_at_ms, resident_id",
    ),
    *sqlite_only(
        "CREATE INDEX accounts_apartment ON accounts (apartment_id)",
        "CREATE INDEX accounts_company ON accounts (company_id)",
        "CREATE INDEX accounts_resident ON accounts (resident_id) WHERE resident_id IS NOT NULL",
    ),
    *postgresql_only(
        "ALTER TABLE accounts DROP CONSTRAINT accounts_kind_check",
        "ALTER TABLE accounts DROP CONSTRAINT accounts_check",
        "ALTER TABLE accounts ALTER COLUMN ha1 DROP NOT NULL",
        "ALTER TABLE accounts ADD COLUMN phone TEXT",
        f"ALTER TABLE accounts ADD CONSTRAINT accounts_kind_check CHECK (kind IN ({KINDS}))",
        "ALTER TABLE accounts ADD CONSTRAINT accounts_home_check "
        f"CHECK ((apartment_id IS NOT NULL) = (kind IN ({OF_AN_APARTMENT})))",
        "ALTER TABLE accounts ADD CONSTRAINT accounts_ha1_of_all_but_phones CHECK ((ha1 IS NULL) = (kind = 'phone'))",
        "ALTER TABLE accounts ADD CONSTRAINT accounts_phone_of_phones CHECK ((phone IS NOT NULL) = (kind = 'phone'))",
        "ALTER TABLE accounts ADD CONSTRAINT accounts_id_company UNIQUE (id, company_id)",
    ),
    # One phone rings once for an apartment.
    "CREATE UNIQUE INDEX accounts_phone ON accounts (apartment_id, phone) WHERE phone IS NOT NULL",
    # A phone has no credential: nobody logs in as one.
    """CREATE VIEW kamailio_accounts AS
    SELECT account, ha1, kind, CASE WHEN enabled = {true} THEN 1 ELSE 0 END AS enabled FROM accounts
    WHERE ha1 IS NOT NULL""",
    """CREATE TABLE push_tokens (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL,
    account_id {int} NOT NULL,
    device TEXT NOT NULL,
    platform TEXT NOT NULL CHECK (platform IN ('fcm', 'apns', 'apns_voip', 'hms', 'webhook')),
    token TEXT NOT NULL CHECK (length(token) BETWEEN 1 AND 4096),
    created_at_ms {int} NOT NULL,
    updated_at_ms {int} NOT NULL,
    invalidated_at_ms {int},
    invalid_reason TEXT,
    UNIQUE (account_id, device),
    FOREIGN KEY (account_id, company_id) REFERENCES accounts (id, company_id) ON DELETE CASCADE,
    CHECK ((invalidated_at_ms IS NULL) = (invalid_reason IS NULL))
){strict}""",
    """CREATE TABLE concierge_desks (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL,
    house_id {int},
    account_id {int} NOT NULL UNIQUE,
    name TEXT NOT NULL,
    priority {int} NOT NULL CHECK (priority BETWEEN 1 AND 9),
    on_duty {bool} NOT NULL,
    FOREIGN KEY (account_id, company_id) REFERENCES accounts (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id) ON DELETE CASCADE
){strict}""",
    "CREATE INDEX concierge_desks_company ON concierge_desks (company_id)",
    "CREATE INDEX concierge_desks_house ON concierge_desks (house_id) WHERE house_id IS NOT NULL",
)

DEVICE_COLUMNS = (
    ("maker", "TEXT"),
    ("model", "TEXT"),
    ("latitude", "{real} CHECK (latitude BETWEEN -90 AND 90)"),
    ("longitude", "{real} CHECK (longitude BETWEEN -180 AND 180)"),
    ("last_seen_at_ms", "{int}"),
    ("gate_id", "{int} REFERENCES gates (id)"),
)

DOOR = """
    id {id},
    company_id {int} NOT NULL,
    panel_id {int},
    relay_id {int},
    output {int} NOT NULL CHECK (output BETWEEN 1 AND 16),
    relay_output {int} CHECK (relay_output BETWEEN 1 AND 16),
    name TEXT NOT NULL,
    method TEXT NOT NULL CHECK (method IN ('dtmf', 'http', 'relay')),
    dtmf TEXT,
    entrance_id {int},
    gate_id {int},
    UNIQUE (panel_id, output),
    FOREIGN KEY (panel_id, company_id) REFERENCES panels (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (relay_id, company_id) REFERENCES relays (id, company_id),
    FOREIGN KEY (entrance_id, company_id) REFERENCES entrances (id, company_id),
    FOREIGN KEY (gate_id, company_id) REFERENCES gates (id, company_id),
    CHECK (panel_id IS NOT NULL OR relay_id IS NOT NULL),
    CHECK ((method = 'relay') = (relay_id IS NOT NULL)),
    CHECK ((relay_id IS NULL) = (relay_output IS NULL)),
    CHECK (method <> 'dtmf' OR dtmf IS NOT NULL)
"""

DEVICES = (
    *(f"ALTER TABLE panels ADD COLUMN {name} {kind}" for name, kind in DEVICE_COLUMNS),
    """CREATE TABLE relays (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL REFERENCES companies (id),
    name TEXT NOT NULL,
    maker TEXT,
    model TEXT,
    driver TEXT NOT NULL CHECK (driver IN ('beward', 'generic')),
    address TEXT NOT NULL,
    credentials TEXT,
    latitude {real} CHECK (latitude BETWEEN -90 AND 90),
    longitude {real} CHECK (longitude BETWEEN -180 AND 180),
    last_seen_at_ms {int},
    UNIQUE (company_id, name),
    UNIQUE (id, company_id)
){strict}""",
    *rebuilt("doors", DOOR, "id, company_id, panel_id, output, name, method, dtmf"),
    *postgresql_only(
        "ALTER TABLE doors ALTER COLUMN panel_id DROP NOT NULL",
        "ALTER TABLE doors DROP CONSTRAINT doors_method_check",
        "ALTER TABLE doors ADD COLUMN relay_id {int}",
        "ALTER TABLE doors ADD COLUMN relay_output {int} CHECK (relay_output BETWEEN 1 AND 16)",
        "ALTER TABLE doors ADD COLUMN entrance_id {int}",
        "ALTER TABLE doors ADD COLUMN gate_id {int}",
        "ALTER TABLE doors ADD CONSTRAINT doors_method_check CHECK (method IN ('dtmf', 'http', 'relay'))",
        "ALTER TABLE doors ADD CONSTRAINT doors_opener CHECK (panel_id IS NOT NULL OR relay_id IS NOT NULL)",
        "ALTER TABLE doors ADD CONSTRAINT doors_by_relay CHECK ((method = 'relay') = (relay_id IS NOT NULL))",
        "ALTER TABLE doors ADD CONSTRAINT doors_relay_output CHECK ((relay_id IS NULL) = (relay_output IS NULL))",
        "ALTER TABLE doors ADD FOREIGN KEY (relay_id, company_id) REFERENCES relays (id, company_id)",
        "ALTER TABLE doors ADD FOREIGN KEY (entrance_id, company_id) REFERENCES entrances (id, company_id)",
        "ALTER TABLE doors ADD FOREIGN KEY (gate_id, company_id) REFERENCES gates (id, company_id)",
    ),
    "CREATE UNIQUE INDEX doors_of_relay ON doors (relay_id, output) WHERE panel_id IS NULL",
    "CREATE INDEX doors_relay ON doors (relay_id) WHERE relay_id IS NOT NULL",
)

KEYS = (
    """CREATE TABLE rfid_keys (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL REFERENCES companies (id),
    number TEXT NOT NULL CHECK (length(number) BETWEEN 6 AND 20),
    scope TEXT NOT NULL CHECK (scope IN ('resident', 'apartment', 'entrance', 'house', 'company')),
    resident_id {int},
    apartment_id {int},
    entrance_id {int},
    house_id {int},
    enabled {bool} NOT NULL,
    note TEXT NOT NULL,
    created_at_ms {int} NOT NULL,
    UNIQUE (company_id, number),
    FOREIGN KEY (resident_id, company_id) REFERENCES residents (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (entrance_id, company_id) REFERENCES entrances (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id) ON DELETE CASCADE,
    CHECK ((scope = 'resident') = (resident_id IS NOT NULL)),
    CHECK ((scope = 'apartment') = (apartment_id IS NOT NULL)),
    CHECK ((scope = 'entrance') = (entrance_id IS NOT NULL)),
    CHECK ((scope = 'house') = (house_id IS NOT NULL))
){strict}""",
    *(
        f"CREATE INDEX rfid_keys_{owner} ON rfid_keys ({owner}_id) WHERE {owner}_id IS NOT NULL"
        for owner in ("resident", "apartment", "entrance", "house")
    ),
)

CODES = (
    """CREATE TABLE access_codes (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL REFERENCES companies (id),
    entrance_id {int},
    gate_id {int},
    apartment_id {int},
    code_encrypted TEXT NOT NULL,
    code_hash TEXT NOT NULL,
    single_use {bool} NOT NULL,
    valid_from_ms {int} NOT NULL,
    valid_until_ms {int},
    note TEXT NOT NULL,
    created_at_ms {int} NOT NULL,
    last_used_at_ms {int},
    ended_at_ms {int},
    end_reason TEXT,
    FOREIGN KEY (entrance_id, company_id) REFERENCES entrances (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (gate_id, company_id) REFERENCES gates (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE,
    CHECK ((entrance_id IS NULL) <> (gate_id IS NULL)),
    CHECK (valid_until_ms > valid_from_ms),
    CHECK ((ended_at_ms IS NULL) = (end_reason IS NULL))
){strict}""",
    # Two codes that open one door at one time must differ; codes that have ended may come again.
    "CREATE UNIQUE INDEX access_codes_entrance ON access_codes (entrance_id, code_hash) WHERE ended_at_ms IS NULL",
    "CREATE UNIQUE INDEX access_codes_gate ON access_codes (gate_id, code_hash) WHERE ended_at_ms IS NULL",
    "CREATE INDEX access_codes_apartment ON access_codes (apartment_id) WHERE apartment_id IS NOT NULL",
    "CREATE INDEX access_codes_until ON access_codes (valid_until_ms) WHERE ended_at_ms IS NULL",
)

TARGET_KINDS = "'all', 'handset', 'indoor_unit', 'app', 'home_gateway', 'phone', 'concierge'"

RULES = (
    "ALTER TABLE block_kinds ADD COLUMN stops_keys {bool} NOT NULL DEFAULT {false}",
    "ALTER TABLE block_kinds ADD COLUMN stops_codes {bool} NOT NULL DEFAULT {false}",
    "ALTER TABLE blocks ADD COLUMN lifted_at_ms {int}",
    "ALTER TABLE blocks ADD COLUMN lift_reason TEXT",
    "ALTER TABLE ring_stages ADD COLUMN on_refusal TEXT NOT NULL DEFAULT 'next' CHECK (on_refusal IN ('next', 'stop'))",
    *rebuilt(
        "ring_targets",
        f"""
    id {{id}},
    stage_id {{int}} NOT NULL REFERENCES ring_stages (id) ON DELETE CASCADE,
    position {{int}} NOT NULL,
    kind TEXT CHECK (kind IN ({TARGET_KINDS})),
    account_id {{int}} REFERENCES accounts (id) ON DELETE CASCADE,
    UNIQUE (stage_id, position),
    CHECK ((kind IS NULL) <> (account_id IS NULL))
""",
        "id, stage_id, position, kind, account_id",
    ),
    *sqlite_only("CREATE INDEX ring_targets_account ON ring_targets (account_id)"),
    *postgresql_only(
        "ALTER TABLE ring_targets DROP CONSTRAINT ring_targets_kind_check",
        f"ALTER TABLE ring_targets ADD CONSTRAINT ring_targets_kind_check CHECK (kind IN ({TARGET_KINDS}))",
    ),
)

RECORDS = (
    "ALTER TABLE call_records ADD COLUMN house_id {int} REFERENCES houses (id) ON DELETE SET NULL",
    "ALTER TABLE access_records ADD COLUMN house_id {int} REFERENCES houses (id) ON DELETE SET NULL",
    "ALTER TABLE access_records ADD COLUMN key_id {int} REFERENCES rfid_keys (id) ON DELETE SET NULL",
    "ALTER TABLE access_records ADD COLUMN access_code_id {int} REFERENCES access_codes (id) ON DELETE SET NULL",
    *(
        f"UPDATE {table} SET house_id = (SELECT a.house_id FROM apartments a WHERE a.id = {table}.apartment_id) "  # noqa: S608 - names of a migration
        "WHERE apartment_id IS NOT NULL"
        for table in ("call_records", "access_records")
    ),
    # Each reference needs its index, or removing what it refers to reads all records.
    "CREATE INDEX call_records_house ON call_records (house_id, id) WHERE house_id IS NOT NULL",
    "CREATE INDEX access_records_house ON access_records (house_id, id) WHERE house_id IS NOT NULL",
    "CREATE INDEX access_records_key ON access_records (key_id, id) WHERE key_id IS NOT NULL",
    "CREATE INDEX access_records_code ON access_records (access_code_id) WHERE access_code_id IS NOT NULL",
)

JOBS = (
    """CREATE TABLE jobs (
    id {id},
    company_id {int} NOT NULL REFERENCES companies (id),
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    options TEXT NOT NULL,
    made_by TEXT NOT NULL,
    created_at_ms {int} NOT NULL,
    started_at_ms {int},
    heartbeat_at_ms {int},
    finished_at_ms {int},
    attempts {int} NOT NULL,
    rows_total {int},
    rows_done {int} NOT NULL,
    result TEXT,
    CHECK ((finished_at_ms IS NOT NULL) = (state IN ('done', 'failed')))
){strict}""",
    "CREATE INDEX jobs_open ON jobs (state, id) WHERE finished_at_ms IS NULL",
    "CREATE INDEX jobs_company ON jobs (company_id, id)",
    """CREATE TABLE job_files (
    job_id {int} PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    content {blob} NOT NULL
){strict}""",
)

STATEMENTS = (*PLACES, *ACCOUNTS, *DEVICES, *KEYS, *CODES, *RULES, *RECORDS, *JOBS)
