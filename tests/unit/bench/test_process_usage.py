from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lab.bench.process_usage import cpu_ticks, group_of, memory_kb, read_memory_mb, read_usage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("command", "group"),
    [
        ("/usr/sbin/kamailio -DD -E -f /opt/entryphone/kamailio/kamailio.cfg", "kamailio"),
        ("kamailio -DD", "kamailio"),
        ("/usr/sbin/asterisk -f -g -C /etc/entryphone/asterisk/ast1/asterisk.conf", "ast1"),
        ("asterisk -f -g -C /etc/entryphone/asterisk/ast2/asterisk.conf", "ast2"),
        ("/x/python -m agi_apps --config agi.json", "agi"),
        ("/x/python -m crm_api serve --config crm.json", "crm"),
        ("/x/python -m crm_api.outbox --config crm.json", "crm-outbox"),
        ("/x/python -m crm_api.call_records --config crm.json", "crm-call-records"),
        ("/x/python -m crm_api.jobs --config crm.json", "crm-jobs"),
        ("/x/python -m crm_api.emergency --config crm.json", "crm-emergency"),
        ("/x/python -m crm_api.pushes --config crm.json", "crm-pushes"),
        ("/x/python -m crm_api.voice_calls --config crm.json", "crm-voice"),
        ("/x/python -m crm_api.webhooks --config crm.json", "crm-webhooks"),
        ("/x/python -m agi_apps.sound_shipper --config agi.json --spool x", "sounds"),
        ("/x/python -m scheduler --config crm.json", "scheduler"),
        ("/usr/bin/redis-server 127.0.0.40:6379", "redis"),
        ("sipp 127.0.0.10:5060 -sf scenario.xml", "load"),
        ("/x/python -m lab.bench", None),
        ("vi kamailio.cfg", None),
    ],
)
def test_groups(command: str, group: str | None) -> None:
    assert group_of(command) == group


def test_ticks_with_brackets_and_blanks_in_the_name() -> None:
    assert cpu_ticks("42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 700 55 0 0 20 0 1 0 5 6 7\n") == 755


def test_memory() -> None:
    rollup = "55d0-7fff ---p 00000000 00:00 0 [rollup]\nRss:  2048 kB\nPss:  1024 kB\nPss_Dirty: 512 kB\n"
    assert memory_kb(rollup) == (2048, 1024)


def _process(proc: Path, pid: int, command: str, *, ticks: int, namespace: str = "net:[1]") -> None:
    directory = proc / str(pid)
    (directory / "ns").mkdir(parents=True, exist_ok=True)
    link = directory / "ns" / "net"
    link.unlink(missing_ok=True)
    link.symlink_to(namespace)
    (directory / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (directory / "stat").write_text(f"{pid} (x) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5 6 7\n")
    (directory / "smaps_rollup").write_text("Rss: 2048 kB\nPss: 1024 kB\n")


def _proc(tmp_path: Path) -> Path:
    _process(tmp_path, 10, "kamailio -DD", ticks=100)
    _process(tmp_path, 11, "kamailio -DD", ticks=50)
    _process(tmp_path, 12, "/usr/bin/redis-server *:6379", ticks=70)
    _process(tmp_path, 13, "kamailio -DD", ticks=9999, namespace="net:[2]")
    (tmp_path / "self").symlink_to("10")
    (tmp_path / "meminfo").write_text("")
    return tmp_path


def test_cpu_of_a_group_is_the_sum_of_its_processes_in_our_namespace(tmp_path: Path) -> None:
    proc = _proc(tmp_path)
    before = read_usage(proc)
    _process(proc, 10, "kamailio -DD", ticks=110)
    _process(proc, 14, "kamailio -DD", ticks=5)
    spent = read_usage(proc).cpu_ms_since(before)
    tick_ms = 1000 / os.sysconf("SC_CLK_TCK")
    assert spent == {"kamailio": 15 * tick_ms, "redis": 0}


def test_memory_of_a_group(tmp_path: Path) -> None:
    assert read_memory_mb(_proc(tmp_path)) == {"kamailio": (4.0, 2.0), "redis": (2.0, 1.0)}
