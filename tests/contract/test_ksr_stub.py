"""stubs/KSR.pyi is what a real Kamailio with our modules exports: no function more, none less, the same types."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import ksr_stub
from lab.settings import LabSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack

REPOSITORY = Path(__file__).resolve().parents[2]
STUB = REPOSITORY / "stubs" / "KSR.pyi"
_BOOT_S = 60.0

# In namespaces of its own: nothing is left behind, and no port is shared with a running stack.
_BOOT = """
ip link set lo up
mount -t proc proc "$ROOT/proc"; mount --bind /dev "$ROOT/dev"
mount --bind "$REPOSITORY" "$ROOT/opt/entryphone"; mount --bind "$WORK/etc" "$ROOT/etc/entryphone"
mount --bind "$WORK/run" "$ROOT/run/entryphone"; mount --bind "$WORK/lib" "$ROOT/var/lib/entryphone"
exec chroot "$ROOT" env PYTHONDONTWRITEBYTECODE=1 kamailio -DD -E -f /opt/entryphone/kamailio/kamailio.cfg \
  -P /run/entryphone/kamailio/pid -w /run/entryphone/kamailio -m 128 -M 16 -x fm -X fm
"""


@pytest.fixture
def rpc_socket(tmp_path: Path) -> Iterator[Path]:
    """Socket of a Kamailio booted with the repository's configuration and the example of the host's."""
    root = Path(os.environ.get("ENTRYPHONE_ROOT", LabSettings().root)).resolve()
    if not (root / "usr" / "sbin" / "kamailio").exists():
        pytest.skip(f"no Debian root with Kamailio at {root}: make it with `make up`, or set ENTRYPHONE_ROOT")
    for name in ("etc", "run/kamailio", "lib"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(REPOSITORY / "kamailio" / "kamailio-host.cfg.example", tmp_path / "etc" / "kamailio-host.cfg")
    (tmp_path / "etc" / "dispatcher.list").write_text("1 sip:127.0.0.21:5060 0 10 duid=ast1\n")
    schema = root / "usr" / "share" / "kamailio" / "db_sqlite"
    sql = "".join((schema / f"{part}-create.sql").read_text() for part in ("standard", "usrloc"))
    subprocess.run(
        ["python3", "-c", _MAKE_DATABASE, str(tmp_path / "lib" / "location.db")], input=sql, text=True, check=True
    )
    log = tmp_path / "log"
    environment = os.environ | {"ROOT": str(root), "WORK": str(tmp_path), "REPOSITORY": str(REPOSITORY)}
    unshare = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-ec", _BOOT]
    with log.open("w") as output, subprocess.Popen(unshare, env=environment, stdout=output, stderr=output) as kamailio:
        try:
            socket_path = tmp_path / "run" / "kamailio" / "rpc.sock"
            deadline = time.monotonic() + _BOOT_S
            while not socket_path.exists():  # made after the pid file
                if kamailio.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"Kamailio did not boot:\n{log.read_text()[-3000:]}")
                time.sleep(0.02)
            yield socket_path
        finally:
            kamailio.terminate()
            try:
                kamailio.wait(20)
            except subprocess.TimeoutExpired:
                kamailio.kill()
                kamailio.wait(20)


_MAKE_DATABASE = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.stdin.read())"


def test_stub_and_server_are_equal(rpc_socket: Path) -> None:
    functions = ksr_stub.fetch(rpc_socket)
    assert len(functions) > 400
    assert ksr_stub.render(functions) == STUB.read_text(), "run: python -m lab.ksr_stub SOCKET > stubs/KSR.pyi"
