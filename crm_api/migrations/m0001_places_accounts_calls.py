"""Places, panels, accounts, blocks, ring plans, records, tokens, outbox, and the views that Kamailio reads.

A tenant's rows carry `company_id`, and references carry it with them, so that the database itself refuses an apartment
of one company in a house of another.
"""

PLACES = (
    """CREATE TABLE cities (
    id {id},
    name TEXT NOT NULL UNIQUE,
    fias_id TEXT UNIQUE,
    time_zone TEXT NOT NULL
){strict}""",
    """CREATE TABLE companies (
    id {id},
    name TEXT NOT NULL UNIQUE,
    city_id {int} REFERENCES cities (id),
    language TEXT NOT NULL,
    active {bool} NOT NULL,
    ring_timeout_s {int} NOT NULL CHECK (ring_timeout_s BETWEEN 5 AND 120),
    talk_limit_s {int} NOT NULL CHECK (talk_limit_s BETWEEN 10 AND 3600),
    created_at_ms {int} NOT NULL
){strict}""",
    """CREATE TABLE houses (
    id {id},
    company_id {int} NOT NULL REFERENCES companies (id),
    city_id {int} REFERENCES cities (id),
    address TEXT NOT NULL,
    UNIQUE (company_id, address),
    UNIQUE (id, company_id)
){strict}""",
    """CREATE TABLE entrances (
    id {id},
    company_id {int} NOT NULL,
    house_id {int} NOT NULL,
    number {int} NOT NULL CHECK (number BETWEEN 1 AND 99),
    UNIQUE (house_id, number),
    UNIQUE (id, house_id),
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id)
){strict}""",
    """CREATE TABLE apartments (
    id {id},
    company_id {int} NOT NULL,
    house_id {int} NOT NULL,
    entrance_id {int} NOT NULL,
    number {int} NOT NULL CHECK (number BETWEEN 1 AND 9999),
    UNIQUE (house_id, number),
    UNIQUE (id, company_id),
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id),
    FOREIGN KEY (entrance_id, house_id) REFERENCES entrances (id, house_id)
){strict}""",
    "CREATE INDEX apartments_entrance ON apartments (entrance_id)",
)

ACCOUNTS = (
    """CREATE TABLE accounts (
    id {id},
    company_id {int} REFERENCES companies (id),
    apartment_id {int},
    account TEXT NOT NULL UNIQUE CHECK (length(account) BETWEEN 2 AND 32),
    kind TEXT NOT NULL
        CHECK (kind IN ('panel', 'handset', 'indoor_unit', 'app', 'home_gateway', 'concierge', 'trunk')),
    ha1 TEXT NOT NULL CHECK (length(ha1) = 32),
    enabled {bool} NOT NULL,
    created_at_ms {int} NOT NULL,
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE,
    CHECK ((apartment_id IS NOT NULL) = (kind IN ('handset', 'indoor_unit', 'app', 'home_gateway'))),
    CHECK (company_id IS NOT NULL OR kind = 'trunk')
){strict}""",
    "CREATE INDEX accounts_apartment ON accounts (apartment_id)",
    "CREATE INDEX accounts_company ON accounts (company_id)",
    """CREATE TABLE dispatch_centres (
    id {id},
    account_id {int} NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    city_id {int} UNIQUE REFERENCES cities (id) ON DELETE CASCADE,
    company_id {int} UNIQUE REFERENCES companies (id) ON DELETE CASCADE,
    CHECK ((city_id IS NULL) <> (company_id IS NULL))
){strict}""",
    """CREATE TABLE account_changes (
    id {id},
    account TEXT NOT NULL,
    at_ms {int} NOT NULL
){strict}""",
    """CREATE VIEW kamailio_accounts AS
    SELECT account, ha1, kind, CASE WHEN enabled = {true} THEN 1 ELSE 0 END AS enabled FROM accounts""",
    "CREATE VIEW kamailio_changes AS SELECT id, account FROM account_changes",
)

PANELS = (
    """CREATE TABLE panels (
    id {id},
    company_id {int} NOT NULL REFERENCES companies (id),
    account_id {int} NOT NULL UNIQUE REFERENCES accounts (id),
    name TEXT NOT NULL,
    driver TEXT NOT NULL CHECK (driver IN ('beward', 'generic')),
    address TEXT,
    credentials TEXT,
    UNIQUE (id, company_id)
){strict}""",
    """CREATE TABLE panel_places (
    id {id},
    panel_id {int} NOT NULL,
    company_id {int} NOT NULL,
    house_id {int} NOT NULL,
    entrance_id {int},
    code TEXT NOT NULL CHECK (code = '' OR (length(code) = 2 AND code BETWEEN '12' AND '99')),
    UNIQUE (panel_id, code),
    FOREIGN KEY (panel_id, company_id) REFERENCES panels (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id),
    FOREIGN KEY (entrance_id, house_id) REFERENCES entrances (id, house_id)
){strict}""",
    "CREATE INDEX panel_places_house ON panel_places (house_id)",
    """CREATE TABLE doors (
    id {id},
    company_id {int} NOT NULL,
    panel_id {int} NOT NULL,
    output {int} NOT NULL CHECK (output BETWEEN 1 AND 16),
    name TEXT NOT NULL,
    method TEXT NOT NULL CHECK (method IN ('dtmf', 'http')),
    dtmf TEXT,
    UNIQUE (panel_id, output),
    FOREIGN KEY (panel_id, company_id) REFERENCES panels (id, company_id) ON DELETE CASCADE,
    CHECK (method <> 'dtmf' OR dtmf IS NOT NULL)
){strict}""",
)

RULES = (
    """CREATE TABLE block_kinds (
    id {id},
    company_id {int} NOT NULL REFERENCES companies (id),
    name TEXT NOT NULL,
    stops_calls {bool} NOT NULL,
    stops_opening {bool} NOT NULL,
    UNIQUE (company_id, name),
    UNIQUE (id, company_id)
){strict}""",
    """CREATE TABLE blocks (
    id {id},
    company_id {int} NOT NULL,
    apartment_id {int} NOT NULL,
    kind_id {int} NOT NULL,
    reason TEXT NOT NULL,
    starts_at_ms {int} NOT NULL,
    ends_at_ms {int},
    created_at_ms {int} NOT NULL,
    CHECK (ends_at_ms > starts_at_ms),
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (kind_id, company_id) REFERENCES block_kinds (id, company_id)
){strict}""",
    "CREATE INDEX blocks_apartment ON blocks (apartment_id)",
    "CREATE INDEX blocks_kind ON blocks (kind_id)",
    """CREATE TABLE ring_plans (
    id {id},
    company_id {int} NOT NULL REFERENCES companies (id),
    house_id {int} UNIQUE,
    apartment_id {int} UNIQUE,
    name TEXT NOT NULL,
    CHECK (house_id IS NULL OR apartment_id IS NULL),
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE
){strict}""",
    """CREATE UNIQUE INDEX ring_plans_company_default ON ring_plans (company_id)
    WHERE house_id IS NULL AND apartment_id IS NULL""",
    """CREATE TABLE ring_stages (
    id {id},
    plan_id {int} NOT NULL REFERENCES ring_plans (id) ON DELETE CASCADE,
    position {int} NOT NULL,
    ring_timeout_s {int} NOT NULL CHECK (ring_timeout_s BETWEEN 1 AND 120),
    UNIQUE (plan_id, position)
){strict}""",
    """CREATE TABLE ring_targets (
    id {id},
    stage_id {int} NOT NULL REFERENCES ring_stages (id) ON DELETE CASCADE,
    position {int} NOT NULL,
    kind TEXT CHECK (kind IN ('all', 'handset', 'indoor_unit', 'app', 'home_gateway')),
    account_id {int} REFERENCES accounts (id) ON DELETE CASCADE,
    UNIQUE (stage_id, position),
    CHECK ((kind IS NULL) <> (account_id IS NULL))
){strict}""",
    "CREATE INDEX ring_targets_account ON ring_targets (account_id)",
)

RECORDS = (
    """CREATE TABLE call_records (
    id {id},
    call_id TEXT NOT NULL UNIQUE,
    company_id {int} REFERENCES companies (id),
    panel_id {int} REFERENCES panels (id) ON DELETE SET NULL,
    apartment_id {int} REFERENCES apartments (id) ON DELETE SET NULL,
    panel TEXT,
    dialled TEXT,
    started_at_ms {int} NOT NULL,
    ended_at_ms {int},
    talk_ms {int},
    answered_by TEXT,
    result TEXT,
    reason TEXT,
    cause {int},
    plan_source TEXT
){strict}""",
    "CREATE INDEX call_records_apartment ON call_records (apartment_id) WHERE apartment_id IS NOT NULL",
    """CREATE TABLE call_branches (
    call_id TEXT NOT NULL REFERENCES call_records (call_id) ON DELETE CASCADE,
    stage {int} NOT NULL,
    account TEXT NOT NULL,
    branch TEXT NOT NULL,
    contact TEXT,
    outcome TEXT NOT NULL
        CHECK (outcome IN
            ('invited', 'ringing', 'answered', 'busy', 'declined', 'offline', 'cancelled', 'failed')),
    sip_status {int},
    invited_at_ms {int},
    ringing_at_ms {int},
    ended_at_ms {int},
    PRIMARY KEY (call_id, stage, account, branch)
){keyed}""",
    """CREATE TABLE access_records (
    id {id},
    company_id {int} REFERENCES companies (id),
    at_ms {int} NOT NULL,
    panel_id {int} REFERENCES panels (id) ON DELETE SET NULL,
    apartment_id {int} REFERENCES apartments (id) ON DELETE SET NULL,
    panel TEXT NOT NULL,
    door_id {int},
    account TEXT,
    opened_by TEXT,
    call_id TEXT,
    key TEXT,
    method TEXT,
    result TEXT NOT NULL CHECK (result IN ('granted', 'sent', 'opened', 'refused', 'failed')),
    reason TEXT,
    event_at_ms {int},
    UNIQUE (call_id, account, at_ms)
){strict}""",
    "CREATE INDEX access_records_apartment ON access_records (apartment_id) WHERE apartment_id IS NOT NULL",
)

MACHINERY = (
    """CREATE TABLE api_tokens (
    id {id},
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('platform', 'operator', 'service')),
    company_id {int} REFERENCES companies (id),
    token_hash TEXT NOT NULL UNIQUE,
    created_at_ms {int} NOT NULL,
    revoked_at_ms {int},
    CHECK ((kind = 'operator') = (company_id IS NOT NULL))
){strict}""",
    """CREATE TABLE outbox (
    id {id},
    due_at_ms {int} NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('numbers', 'panel', 'house', 'company', 'city')),
    payload TEXT NOT NULL
){strict}""",
    "CREATE INDEX outbox_due ON outbox (due_at_ms)",
    """CREATE TABLE delivery_state (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
){strict}""",
)

STATEMENTS = (*PLACES, *ACCOUNTS, *PANELS, *RULES, *RECORDS, *MACHINERY)
