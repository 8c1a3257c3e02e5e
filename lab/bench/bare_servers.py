"""The bare reference: the same servers and modules, a native script and a dialplan of one `Dial()`."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Final

from lab.host_files import write_host_files
from lab.location_database import create_location_database
from lab.process_scan import end_processes
from lab.processes import Service, last_error_line, start_process
from lab.services import DOOR_NICE

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import LabSettings

_START_TIMEOUT_S: Final = 20.0
_HERE: Final = "/opt/entryphone/lab/bench/bare"
_REPLACED: Final = ("extensions.conf", "features.conf")


class ServersError(Exception):
    """A server did not start; the message holds the last line of its log."""


def write_configuration(settings: LabSettings) -> None:
    """Host files as the platform has them, but the bare dialplan; an empty location database."""
    write_host_files(settings)
    for node in settings.asterisk_nodes:
        for name in _REPLACED:
            link = settings.etc / "asterisk" / node / name
            link.unlink()
            link.symlink_to(f"{_HERE}/asterisk/{name}")
    for stale in settings.lib.glob("location.db*"):
        stale.unlink()
    create_location_database(settings.lib / "location.db", settings.root)


def _await(
    ready: Path | None, settings: LabSettings, name: str, process: subprocess.Popen[bytes], check: list[str]
) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if ready is not None and ready.exists() and ready.read_text().strip():
            return
        if check and subprocess.run(check, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)  # neither server can call us when it is ready
    raise ServersError(f"{name} did not start within {_START_TIMEOUT_S:.0f} s: {last_error_line(settings, name)}")


class BareServers:
    """Starts and ends the bare Kamailio and both bare nodes in the bench's network namespace."""

    def __init__(self, settings: LabSettings) -> None:
        self.settings = settings

    def start(self, *, digest: bool = False) -> None:
        """Start.

        Args:
            digest: REGISTER wants digest, accounts come from the view `kamailio_accounts` of `crm.db` in the instance's
                library directory. Without it everything is accepted.

        Raises:
            ServersError: one of them did not start.
        """
        settings = self.settings
        write_configuration(settings)
        pid_file = settings.run / "kamailio" / "pid"
        pid_file.unlink(missing_ok=True)
        options = ("-A", "WITH_DIGEST=1") if digest else ()
        command = (
            "kamailio", "-DD", "-E", "-f", f"{_HERE}/kamailio.cfg", "-P", "/run/entryphone/kamailio/pid",
            "-w", "/run/entryphone/kamailio", "-m", "2048", "-M", "1280", "-x", "fm", "-X", "fm", *options,
        )  # fmt: skip
        kamailio = start_process(settings, Service("kamailio", command, lambda: None, in_root=True, nice=DOOR_NICE))
        for name in settings.asterisk_nodes:
            configuration = f"/etc/entryphone/asterisk/{name}/asterisk.conf"
            command = ("asterisk", "-f", "-g", "-C", configuration)
            process = start_process(settings, Service(name, command, lambda: None, in_root=True))
            pid = str(process.pid)
            check = [
                "nsenter",
                "--target",
                pid,
                "--mount",
                "--root",
                "asterisk",
                "-C",
                configuration,
                "-rx",
                "core waitfullybooted",
            ]
            _await(None, settings, name, process, check)
        _await(pid_file, settings, "kamailio", kamailio, [])

    def stop(self) -> None:
        """End them."""
        end_processes(self.settings.directory, self.settings.run)
