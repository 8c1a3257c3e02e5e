"""Builds the Debian root of the servers, once a machine, and links it into `var/root`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import shutil
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lab.debian_mirror import find_mirror, machine_apt_options
from lab.settings import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "forky"
PACKAGES = (
    "asterisk",
    "asterisk-core-sounds-en-gsm",
    "baresip-core",
    "ca-certificates",
    "espeak-ng",  # says addresses to dispatchers
    "kamailio",
    "kamailio-extra-modules",
    "kamailio-postgres-modules",
    "kamailio-python3-modules",
    "kamailio-redis-modules",
    "kamailio-sqlite-modules",
    "nftables",  # loses packets in tests
    "postgresql",
    "redis-server",
    "sip-tester",
)
MOUNT_POINTS = (
    "opt/entryphone",
    "etc/entryphone",
    "run/entryphone",
    "var/lib/entryphone",
    "var/log/entryphone",
)
"""Empty directories of the root that a lab instance mounts its own over (docs/contracts.md, section 2)."""

CACHE_VARIABLE = "ENTRYPHONE_CACHE"
MACHINE_PROGRAMS = {"mmdebstrap": "mmdebstrap", "ip": "iproute2", "unshare": "util-linux"}
_RECIPE = 1  # raise it when something changes below that the lists above do not show
_SIGN_OF_LIFE_S = 10.0


class RootBuildError(Exception):
    """The Debian root could not be built; the message says why and what to do."""


def root_key() -> str:
    """Name of the root in the cache: changes with the suite, the packages and the recipe."""
    recipe = json.dumps([_RECIPE, SUITE, PACKAGES, MOUNT_POINTS])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def ensure_root(link: Path = REPOSITORY / "var" / "root") -> Path:
    """Build the root unless the machine has it, point `link` at it, and return its path in the cache.

    Raises:
        RootBuildError: not root, or a package or the mirror is missing.
    """
    cache = Path(os.environ.get(CACHE_VARIABLE, "/var/cache/entryphone"))
    target = cache / f"root-{root_key()}"
    if not target.is_dir():
        if os.geteuid() != 0:
            raise RootBuildError("building the Debian root needs root: run make as root")
        cache.mkdir(parents=True, exist_ok=True)
        with _build_lock(cache / f"root-{root_key()}.lock"):
            if not target.is_dir():  # another clone may have built it while we waited
                _install_machine_packages()
                _build(target)
    if not link.is_symlink() or link.readlink() != target:
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name(f".{link.name}-{os.getpid()}")
        fresh.symlink_to(target)
        fresh.replace(link)
    return target


@contextmanager
def _build_lock(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another clone is building the Debian root; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install_machine_packages() -> None:
    missing = sorted({package for program, package in MACHINE_PROGRAMS.items() if shutil.which(program) is None})
    if not missing:
        return
    _say(f"installing {', '.join(missing)} with apt")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "--quiet"],
        ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *missing],
    ):
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            raise RootBuildError(f"`{' '.join(command)}` failed (see above); install {' '.join(missing)} and run again")


def _build(target: Path) -> None:
    if not Path(os.devnull).stat().st_mode & stat.S_IWOTH:
        # apt verifies signatures as the user _apt and reports this, misleadingly, as "gpgv is not installed".
        raise RootBuildError(f"{os.devnull} is not writable for everybody, apt needs that: chmod 666 {os.devnull}")
    mirror = find_mirror()
    building = target.with_name(f".building-{target.name}")
    _remove_unfinished(building)
    started = time.monotonic()
    _say(f"building a Debian {SUITE} root for the servers in {target} (about a minute, 600 MB, once a machine)")
    _say(f"packages come from {mirror}")
    try:
        returncode, output = _mmdebstrap(building, mirror, [])
        if returncode != 0 and index_is_expired(output):
            _say(
                "WARNING: the mirror's index is past its Valid-Until date. Trying again without that check; "
                "signatures are still verified, but the packages may be out of date.",
            )
            _remove_unfinished(building)
            returncode, output = _mmdebstrap(building, mirror, ['Acquire::Check-Valid-Until "false"'])
        if returncode != 0:
            raise RootBuildError(f"mmdebstrap failed with exit code {returncode} (see above); mirror: {mirror}")
        for directory in MOUNT_POINTS:
            (building / directory).mkdir(parents=True, exist_ok=True)
        building.rename(target)
    finally:
        _remove_unfinished(building)
    _say(f"Debian root ready after {time.monotonic() - started:.0f} s")


def index_is_expired(output: str) -> bool:
    """Whether apt refused an index only because of its Valid-Until date (`E: Release file … is expired`)."""
    return "Release file" in output and "is expired" in output


def _mmdebstrap(directory: Path, mirror: str, apt_options: list[str]) -> tuple[int, str]:
    """Run mmdebstrap, show its steps as they come; return its exit code and what it said."""
    command = ["mmdebstrap", "--variant=apt", f"--include={','.join(PACKAGES)}"]
    command += [f"--aptopt={option}" for option in [*machine_apt_options(), *apt_options]]
    command += [SUITE, str(directory), mirror]
    started = time.monotonic()
    output = bytearray()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        if process.stdout is None:
            raise RootBuildError("mmdebstrap was started without a pipe for its output")
        shown = 0
        while True:
            readable, _, _ = select.select([process.stdout], [], [], _SIGN_OF_LIFE_S)
            if not readable:
                _say(f"{time.monotonic() - started:4.0f} s  ...")
                continue
            chunk = os.read(process.stdout.fileno(), 65536)
            output += chunk
            end = len(output) if not chunk else output.rfind(b"\n") + 1
            for line in output[shown:end].decode(errors="replace").splitlines():
                if line.startswith(("I:", "W:", "E:")):
                    _say(f"{time.monotonic() - started:4.0f} s  {line}")
            shown = max(shown, end)
            if not chunk:
                break
    return process.returncode, output.decode(errors="replace")


def _remove_unfinished(directory: Path) -> None:
    """Remove what an interrupted build left, unless something is mounted in it (it would be removed, too)."""
    if not directory.exists():
        return
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    if f" {directory}/" in mounts:
        raise RootBuildError(f"something is mounted below {directory}: unmount it, then run again")
    shutil.rmtree(directory)


def _say(text: str) -> None:
    print(f"[root] {text}", file=sys.stderr, flush=True)
