"""What happens on schedule, at city size: codes renewed and told to panels, killed in the middle; a night of probes."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from cryptography.fernet import Fernet

from crm_api.adapters.encryption import Encryption
from crm_api.migrations import migrate
from crm_api.services.context import Context, Tenant
from crm_api.services.job_runs import SILENT_MS
from crm_api.services.scheduled_jobs import ScheduledJobs
from crm_api.services.timetable import Timetable
from crm_api.tables.database import CrmDatabase
from lab.bench.measures import Bar
from lab.probe_night import play
from lab.town.city.cache import cached_city

if TYPE_CHECKING:
    from pathlib import Path

    from lab.bench.measures import Report
    from lab.settings import LabSettings
    from lab.town.city.sizes import CitySize

PANELS_PER_S: Final = 50.0
FAILING: Final = 0.05
_LIMIT_S: Final = 240.0
_MORE_ENTRANCES: Final = """
INSERT INTO entrances (company_id, house_id, number)
SELECT e.company_id, e.house_id, e.number + last.number
FROM entrances e JOIN (SELECT house_id, max(number) AS number FROM entrances GROUP BY house_id) last
  ON last.house_id = e.house_id
WHERE e.number + last.number <= 99 ORDER BY e.id LIMIT ?
"""

SCHEDULE_BARS: Final = (
    Bar("schedule.codes.renewed_s", "at most", 60, "s"),
    Bar("schedule.codes.second_codes", "at most", 0, ""),
    Bar("schedule.codes.entrances_without", "at most", 0, ""),
    Bar("schedule.codes.panels_per_s", "at least", 45, "/s"),
    Bar("schedule.codes.panels_lost", "at most", 0, ""),
    Bar("schedule.night.two_calls_on_a_panel", "at most", 0, ""),
    Bar("schedule.night.visitor_wait_ms", "at most", 1000, "ms"),
    Bar("schedule.night.length_by_best_possible", "at most", 1.1, ""),
)


class SimulatedPanels:
    """Panels of Beward's kind at one address; every twentieth command fails."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}
        self.times_s: list[float] = []
        rng, lock, panels = random.Random(7), threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    panels.times_s.append(time.monotonic())
                    fails = rng.random() < FAILING
                    if not fails:
                        asked = dict(part.split("=") for part in self.path.partition("?")[2].split("&"))
                        if asked["action"] == "set":
                            panels.kept.setdefault(self.headers["Authorization"], {})[asked["Number"]] = asked[
                                "DoorCode"
                            ]
                self.send_response(500 if fails else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class ScheduleBench:
    """One run, on SQLite."""

    settings: LabSettings
    size: CitySize
    report: Report
    panels: int = 1000
    kills: int = 4

    def codes(self) -> None:
        """Renew the codes of the whole city, then again with processes killed at random points."""
        directory = self.settings.lib
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.glob("schedule.db*"):
            old.unlink()
        shutil.copy(cached_city(self.size, self.settings.domain), directory / "schedule.db")
        database = CrmDatabase(f"sqlite:///{directory}/schedule.db")
        migrate(database)
        (directory / "schedule.key").write_bytes(Fernet.generate_key())
        context = Context(database, self.settings.domain, Encryption.from_file(directory / "schedule.key"))
        config = directory / "schedule.json"
        config.write_text(json.dumps({
            "database_url": f"sqlite:///{directory}/schedule.db", "redis_url": "redis://127.0.0.1:1/0",
            "sip_domain": self.settings.domain, "encryption_key_file": str(directory / "schedule.key"),
            "panel_codes_per_s": PANELS_PER_S, "log_level": "warning",
        }), encoding="utf-8")  # fmt: skip
        database.rows("UPDATE panels SET address = NULL")
        Timetable(context).fill()
        # As many as panels: a city's entrance may have two panels, and the bar is for 22,000 codes.
        database.rows(_MORE_ENTRANCES, (self.size.panels - self._count(database, "SELECT count(*) FROM entrances"),))
        entrances = self._count(database, "SELECT count(*) FROM entrances")
        running = self._scheduler(config)
        try:
            started = time.monotonic()
            self._start_all(context)
            self._wait(lambda: self._open(database) == 0, "the codes were not renewed")
            self.report.set("schedule.codes.renewed_s", time.monotonic() - started)
            self.report.set("schedule.codes.entrances", entrances)
            self._start_all(context)
            running = self._killed(context, config, running, 2 * entrances)
            self._wait(lambda: self._open(database) == 0, "the codes were not renewed after the kills")
            self._judge(database, entrances)
            running.kill()
            running.wait()
            self._tell_panels(context, config)
        finally:
            running.kill()
            running.wait()
            database.forget_connection()

    def night(self) -> None:
        """Every handset of the city is probed in a simulated night."""
        panels, handsets = (22_000, 250_000) if self.size.name == "city" else (1_500, 15_000)
        night = play(panels, handsets)
        self.report.set("schedule.night.two_calls_on_a_panel", night.two_calls_on_a_panel)
        self.report.set("schedule.night.visitor_wait_ms", night.longest_visitor_wait_ms)
        self.report.set("schedule.night.length_by_best_possible", night.ratio)
        self.report.set("schedule.night.length_h", night.length_ms / 3_600_000)
        self.report.set("schedule.night.calls", night.calls)
        self.report.set("schedule.night.dropped_for_visitors", night.dropped)
        self.report.set("schedule.night.planner_s", night.planner_s)
        self.report.set("schedule.night.memory_mb", night.memory_mb)

    def _killed(
        self, context: Context, config: Path, running: subprocess.Popen[bytes], all_codes: int
    ) -> subprocess.Popen[bytes]:
        """Kill the scheduler at random points of the second renewal; return the one that runs then."""
        rng, database = random.Random(5), context.database
        for _ in range(self.kills):
            before = self._count(database, "SELECT count(*) FROM access_codes")
            self._wait(
                lambda before=before: self._count(database, "SELECT count(*) FROM access_codes") > before,
                "no code was made",
            )
            time.sleep(rng.uniform(0.0, 0.3))
            running.kill()
            running.wait()
            # The seconds that make lease and run lost have passed.
            database.rows("UPDATE scheduler_leases SET until_ms = 1")
            database.rows("UPDATE job_runs SET heartbeat_at_ms = heartbeat_at_ms - ?", (SILENT_MS + 1,))
            running = self._scheduler(config)
            if self._count(database, "SELECT count(*) FROM access_codes") >= all_codes:
                break
        return running

    def _judge(self, database: CrmDatabase, entrances: int) -> None:
        runs = self._count(database, "SELECT count(*) FROM job_runs WHERE kind = 'access_codes'")
        companies = self._count(
            database, "SELECT count(*) FROM companies WHERE id IN (SELECT company_id FROM entrances)"
        )
        codes = self._count(database, "SELECT count(*) FROM access_codes WHERE slot IS NOT NULL")
        distinct = self._count(
            database,
            "SELECT count(*) FROM (SELECT DISTINCT entrance_id, slot FROM access_codes WHERE slot IS NOT NULL)",
        )
        self.report.set("schedule.codes.second_codes", codes - distinct)
        self.report.set("schedule.codes.entrances_without", 2 * entrances - distinct)
        self.report.set("schedule.codes.runs", runs)
        self.report.set("schedule.codes.companies", companies)

    def _tell_panels(self, context: Context, config: Path) -> None:
        """Tell panels at the set rate; those that fail are told again."""
        database, panels = context.database, SimulatedPanels()
        chosen = database.rows(
            "SELECT panel_id FROM panel_places WHERE entrance_id IS NOT NULL GROUP BY panel_id LIMIT ?",
            (self.panels,),
        )
        with database.transaction():
            for (panel_id,) in chosen:
                login = context.encryption.encrypted(json.dumps({"user": f"panel{panel_id}", "password": "x"}))
                database.rows(
                    "UPDATE panels SET driver = 'beward', address = ?, credentials = ? WHERE id = ?",
                    (panels.address, login, panel_id),
                )
        database.rows("UPDATE scheduler_leases SET until_ms = 1")
        running = self._scheduler(config)
        try:
            waiting = "SELECT count(*) FROM panel_codes WHERE state = 'waiting' AND tries = 0"
            self._wait(lambda: self._count(database, "SELECT count(*) FROM panel_codes") >= len(chosen), "no panel due")
            self._wait(lambda: self._count(database, waiting) == 0, "panels were not told")
            first, last = panels.times_s[0], panels.times_s[-1]
            self.report.set("schedule.codes.panels_per_s", len(panels.times_s) / max(0.001, last - first))
            failed = self._count(database, "SELECT count(*) FROM panel_codes WHERE state = 'waiting'")
            self.report.set("schedule.codes.panels_that_failed_first", failed)

            def again() -> bool:
                # The half minute before another try has passed.
                database.rows("UPDATE panel_codes SET next_try_ms = 0 WHERE state = 'waiting'")
                return self._count(database, "SELECT count(*) FROM panel_codes WHERE state = 'waiting'") == 0

            self._wait(again, "some panels were never told")
        finally:
            running.kill()
            running.wait()
            panels.close()
        self.report.set("schedule.codes.panels_lost", len(chosen) - len(panels.kept))

    def _scheduler(self, config: Path) -> subprocess.Popen[bytes]:
        command = [str(self.settings.python), "-m", "scheduler", "--config", str(config)]
        with (config.with_suffix(".log")).open("ab") as log:
            return subprocess.Popen(command, cwd=self.settings.repository, stderr=log)

    @staticmethod
    def _start_all(context: Context) -> None:
        jobs = ScheduledJobs(context)
        for (job_id,) in context.database.rows("SELECT id FROM scheduled_jobs WHERE kind = 'access_codes'"):
            jobs.start(Tenant(None, "bench"), job_id)

    @staticmethod
    def _open(database: CrmDatabase) -> int:
        return ScheduleBench._count(database, "SELECT count(*) FROM job_runs WHERE finished_at_ms IS NULL")

    @staticmethod
    def _count(database: CrmDatabase, sql: str) -> int:
        row = database.row(sql)
        return int(row[0]) if row else 0

    @staticmethod
    def _wait(what: Any, trouble: str) -> None:
        deadline = time.monotonic() + _LIMIT_S
        while not what():
            if time.monotonic() > deadline:
                raise TimeoutError(trouble)
            time.sleep(0.05)
