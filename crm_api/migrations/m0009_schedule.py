"""What happens on schedule: jobs, their runs, and who is the scheduler at the moment."""

STATEMENTS = (
    # One row: whoever holds it acts, the others stand by. `term` counts the holders, so that a late one is told apart.
    """CREATE TABLE scheduler_leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    term {int} NOT NULL,
    since_ms {int} NOT NULL,
    until_ms {int} NOT NULL
){strict}""",
    """CREATE TABLE scheduled_jobs (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} REFERENCES companies (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    cron TEXT NOT NULL,
    zone TEXT,
    enabled {bool} NOT NULL,
    next_slot TEXT,
    next_at_ms {int},
    CHECK ((next_slot IS NULL) = (next_at_ms IS NULL))
){strict}""",
    "CREATE UNIQUE INDEX scheduled_jobs_kind ON scheduled_jobs (kind, coalesce(company_id, 0))",
    "CREATE INDEX scheduled_jobs_company ON scheduled_jobs (company_id, id)",
    """CREATE TABLE job_runs (
    id {id},
    job_id {int} NOT NULL REFERENCES scheduled_jobs (id) ON DELETE CASCADE,
    company_id {int} REFERENCES companies (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    slot TEXT NOT NULL,
    due_at_ms {int} NOT NULL,
    slots_missed {int} NOT NULL,
    started_by TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    not_before_ms {int} NOT NULL,
    started_at_ms {int},
    heartbeat_at_ms {int},
    finished_at_ms {int},
    attempts {int} NOT NULL,
    holder TEXT,
    done {int} NOT NULL,
    total {int},
    result TEXT,
    CHECK ((finished_at_ms IS NOT NULL) = (state IN ('done', 'failed'))),
    CHECK (state <> 'running' OR heartbeat_at_ms IS NOT NULL)
){strict}""",
    # What makes a slot run once, however many schedulers there are.
    "CREATE UNIQUE INDEX job_runs_slot ON job_runs (job_id, slot)",
    "CREATE INDEX job_runs_open ON job_runs (state, id) WHERE finished_at_ms IS NULL",
    "CREATE INDEX job_runs_company ON job_runs (company_id, id)",
)
