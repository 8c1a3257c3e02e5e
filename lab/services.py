"""The processes of the lab: their command lines, what they wait for and how their health is judged."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lab import probes
from lab.processes import Service

if TYPE_CHECKING:
    from lab.settings import LabSettings

OUTBOX_HEARTBEAT = "ep:crm_delivered_at_ms"
SCHEDULER_HEARTBEAT = "ep:scheduler_at_ms"
EMERGENCY_HEARTBEAT = "ep:emergency_at_ms"
WEBHOOKS_HEARTBEAT = "ep:webhooks_at_ms"
JOBS_HEARTBEAT = "ep:jobs_at_ms"
CALL_EVENTS, CALL_RECORDS_GROUP = "ep:call_events", "call_records"
PANEL_CALLS = "ep:panel_call:"
PUSHES, PUSHES_GROUP = "ep:pushes", "pushes"
VOICE_CALLS, VOICE_CALLS_GROUP = "ep:voice_calls", "voice_calls"
HEARTBEAT_LIMIT_S = 10.0
# Of those that wait for others' servers, or write for long, between two beats.
POSTS_LIMIT_S = 30.0
NOTICES_LIMIT_S = 60.0
JOBS_LIMIT_S = 90.0
# Who does little for each call comes before who does much (docs/decisions/0019), so that queues stand where admission
# sees them: before Asterisk.
DOOR_NICE, ADVISER_NICE = -10, -5


def lab_services(settings: LabSettings) -> dict[str, Service]:
    """Every process of the instance by name, in the order `make status` shows them."""
    services = [
        _redis(settings),
        _kamailio(settings),
        *(_asterisk(settings, node) for node in settings.every_asterisk_node),
        _agi(settings),
        _sounds(settings),
        *_crm(settings),
        _postgres(settings),
    ]
    return {service.name: service for service in services}


def _redis(settings: LabSettings) -> Service:
    return Service(
        name="redis",
        in_root=True,
        command=(
            "/usr/bin/redis-server",
            *("--bind", settings.redis_host, "--port", str(settings.redis_port)),
            *("--dir", "/var/lib/entryphone", "--dbfilename", "redis.rdb", "--appendonly", "no"),
            *("--save", "", "--maxmemory", "512mb", "--maxmemory-policy", "volatile-ttl", "--daemonize", "no"),
        ),
        probe=functools.partial(probes.probe_redis, settings.redis_host, settings.redis_port),
        listens=(settings.redis_host, settings.redis_port),
        nice=ADVISER_NICE,
    )


def _kamailio(settings: LabSettings) -> Service:
    return Service(
        name="kamailio",
        in_root=True,
        command=(
            *("/usr/sbin/kamailio", "-DD", "-E", "-f", "/opt/entryphone/kamailio/kamailio.cfg"),
            # No pid file (-P): after a kill, Kamailio refuses to start while that pid exists, be it another process's.
            *("-Y", "/run/entryphone/kamailio", "-w", "/run/entryphone/kamailio"),
            # Debian's default memory manager makes embedded Python three times slower: `fm` for both kinds of memory.
            # Room for 600,000 contacts: 1.1 kB each in shared memory, 1.5 kB each in the first worker, since db_sqlite
            # reads a whole table at once. What is not needed is never touched, so it is not used.
            *("-m", "2048", "-M", "1280", "-x", "fm", "-X", "fm"),
        ),
        probe=functools.partial(_kamailio_health, settings),
        listens=(settings.sip_address, settings.sip_port),
        needs_database=True,
        nice=DOOR_NICE,
        start_timeout_s=60.0,  # 9 s of them for reading 600,000 contacts
    )


def _kamailio_health(settings: LabSettings) -> str | None:
    return probes.probe_kamailio_rpc(settings.run / "kamailio" / "rpc.sock") or probes.probe_sip(
        settings.sip_address, settings.sip_port, "127.0.0.1", settings.domain, any_status=True
    )


def _asterisk(settings: LabSettings, node: str) -> Service:
    return Service(
        name=node,
        in_root=True,
        command=("/usr/sbin/asterisk", "-f", "-g", "-C", f"/etc/entryphone/asterisk/{node}/asterisk.conf"),
        # Asterisk knows Kamailio by its address and answers it only when fully booted.
        probe=functools.partial(
            probes.probe_sip,
            settings.every_asterisk_node[node],
            settings.asterisk_port,
            settings.sip_address,
            settings.domain,
        ),
        nice=DOOR_NICE if node == settings.emergency_node[0] else 0,
    )


def _agi(settings: LabSettings) -> Service:
    return Service(
        name="agi",
        command=(str(settings.python), "-m", "agi_apps", "--config", str(settings.etc / "agi.json")),
        probe=functools.partial(probes.probe_http, settings.agi_host, settings.agi_port, "/health"),
        shortcoming=functools.partial(probes.shortcoming_of_fastagi, settings.agi_host, settings.agi_port),
        listens=(settings.agi_host, settings.agi_port),
        nice=ADVISER_NICE,
    )


def _sounds(settings: LabSettings) -> Service:
    """One for both nodes, which share a spool here; in production each node has its own."""
    spool = settings.lib / "sounds"
    config = str(settings.etc / "agi.json")
    return Service(
        name="sounds",
        command=(str(settings.python), "-m", "agi_apps.sound_shipper", "--config", config, "--spool", str(spool)),
        probe=functools.partial(probes.probe_touched, spool / ".alive", POSTS_LIMIT_S),
    )


def _crm(settings: LabSettings) -> list[Service]:
    config = ("--config", str(settings.etc / "crm.json"))
    redis = (settings.redis_host, settings.redis_port)
    return [
        Service(
            name="crm",
            command=(str(settings.python), "-m", "crm_api", "serve", *config),
            probe=functools.partial(probes.probe_http, settings.crm_host, settings.crm_port, "/health"),
            listens=(settings.crm_host, settings.crm_port),
            needs_database=True,
            nice=ADVISER_NICE,
        ),
        Service(
            name="crm-outbox",
            command=(str(settings.python), "-m", "crm_api.outbox", *config),
            probe=functools.partial(probes.probe_heartbeat, *redis, OUTBOX_HEARTBEAT, HEARTBEAT_LIMIT_S),
            needs_database=True,
        ),
        Service(
            name="crm-call-records",
            command=(str(settings.python), "-m", "crm_api.call_records", *config),
            probe=functools.partial(
                probes.probe_stream_reader, *redis, CALL_EVENTS, CALL_RECORDS_GROUP, HEARTBEAT_LIMIT_S
            ),
            needs_database=True,
        ),
        Service(
            name="crm-pushes",
            command=(str(settings.python), "-m", "crm_api.pushes", *config),
            probe=functools.partial(probes.probe_stream_reader, *redis, PUSHES, PUSHES_GROUP, HEARTBEAT_LIMIT_S),
            needs_database=True,
        ),
        Service(
            name="crm-voice",
            command=(str(settings.python), "-m", "crm_api.voice_calls", *config),
            probe=functools.partial(
                probes.probe_stream_reader, *redis, VOICE_CALLS, VOICE_CALLS_GROUP, HEARTBEAT_LIMIT_S
            ),
            needs_database=True,
        ),
        Service(
            name="crm-emergency",
            command=(str(settings.python), "-m", "crm_api.emergency", *config),
            probe=functools.partial(probes.probe_heartbeat, *redis, EMERGENCY_HEARTBEAT, NOTICES_LIMIT_S),
            needs_database=True,
        ),
        Service(
            name="crm-webhooks",
            command=(str(settings.python), "-m", "crm_api.webhooks", *config),
            probe=functools.partial(probes.probe_heartbeat, *redis, WEBHOOKS_HEARTBEAT, POSTS_LIMIT_S),
            needs_database=True,
        ),
        Service(
            name="crm-jobs",
            command=(str(settings.python), "-m", "crm_api.jobs", *config),
            probe=functools.partial(probes.probe_heartbeat, *redis, JOBS_HEARTBEAT, JOBS_LIMIT_S),
            needs_database=True,
        ),
        Service(
            name="scheduler",
            command=(str(settings.python), "-m", "scheduler", *config),
            probe=functools.partial(probes.probe_heartbeat, *redis, SCHEDULER_HEARTBEAT, HEARTBEAT_LIMIT_S),
            needs_database=True,
            stop_timeout_s=10.0,
        ),
    ]


def _postgres(settings: LabSettings) -> Service:
    """PostgreSQL for tests: throw-away data, so no waiting for the disk."""
    start = (
        "set -e; bin=$(ls -d /usr/lib/postgresql/*/bin); data=/var/lib/entryphone/postgres;"
        " chmod 711 /var/lib/entryphone /run/entryphone;"
        " mkdir -p $data /run/entryphone/postgres; chown postgres $data /run/entryphone/postgres;"
        ' as="setpriv --reuid=postgres --regid=postgres --init-groups";'
        " [ -e $data/PG_VERSION ] || $as $bin/initdb --pgdata=$data --auth=trust --username=postgres --no-sync"
        " --encoding=UTF8 --locale=C.UTF-8;"
        f" exec $as $bin/postgres -D $data -h {settings.postgres_host} -p {settings.postgres_port}"
        " -k /run/entryphone/postgres -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    )
    return Service(
        name="postgres",
        in_root=True,
        optional=settings.database != "postgres",
        command=("/bin/sh", "-c", start),
        probe=functools.partial(probes.probe_postgres, settings.postgres_host, settings.postgres_port),
        listens=(settings.postgres_host, settings.postgres_port),
        start_timeout_s=60.0,
    )
