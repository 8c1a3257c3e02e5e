"""`python -m lab up|down|status|logs|run|root`: the lab's command line."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from lab.debian_mirror import MirrorUnknownError
from lab.debian_root import RootBuildError, ensure_root
from lab.host_files import HostFileError
from lab.leftovers import end_leftovers
from lab.processes import mount_script
from lab.settings import DEFAULT_DIRECTORY, VAR, LabSettings
from lab.stack import Stack, StartError, instance_lock


def main() -> int:
    """Run one command; the exit code."""
    arguments = _parser().parse_args()
    settings = replace(LabSettings(), directory=arguments.directory.resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _flushed(int(arguments.run(settings, arguments)))
    except BrokenPipeError:  # `make status | head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (RootBuildError, MirrorUnknownError, HostFileError, StartError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _flushed(code: int) -> int:
    """Say everything now: what goes wrong with that is handled by `main`."""
    sys.stdout.flush()
    return code


def up(settings: LabSettings, arguments: argparse.Namespace) -> int:
    """Start what does not run yet."""
    started = time.monotonic()
    with instance_lock(settings.directory):
        Stack(settings).start(*arguments.names)
    sip = f"SIP {settings.sip_address}:{settings.sip_port}"
    print(f"up after {time.monotonic() - started:.1f} s: {sip}, {settings.crm_url}")
    return 0


def down(settings: LabSettings, arguments: argparse.Namespace) -> int:
    """End every process of the instance; of the default one also what killed benches and tests left."""
    with instance_lock(settings.directory):
        ended = Stack(settings).stop()
    if settings.directory == DEFAULT_DIRECTORY.resolve():
        left, busy = end_leftovers(VAR, spared=[settings.directory], wait=arguments.wait)
        ended += left
        for directory in busy:
            print(f"down: {directory} is left alone: somebody is at work on it, a bench or tests")
    print(f"down: ended {len(ended)} processes" if ended else "down: nothing was running")
    return 0


def status(settings: LabSettings, _arguments: argparse.Namespace) -> int:
    """Print a line per service; 1 when one of them is not as it should be."""
    wrong = 0
    print(f"{'process':<17} {'state':<10} {'pid':>7} {'procs':>5} {'memory':>8}  why")
    for line in Stack(settings).status():
        if line.optional and line.pid is None and not line.processes:
            continue
        wrong_state = "degraded" if line.degraded else "unhealthy" if line.pid else "down"
        state = "healthy" if line.healthy else wrong_state
        wrong += not line.healthy
        memory = f"{line.resident_bytes / 1e6:.0f} MB" if line.processes else "-"
        print(f"{line.name:<17} {state:<10} {line.pid or '-':>7} {line.processes:>5} {memory:>8}  {line.problem}")
    return 1 if wrong else 0


def logs(settings: LabSettings, arguments: argparse.Namespace) -> int:
    """Print the end of the logs; follow them when asked to."""
    services = Stack(settings).services
    unknown = set(arguments.names) - services.keys()
    if unknown:
        raise StartError(f"no service {', '.join(sorted(unknown))}; there are {', '.join(services)}")
    names = arguments.names or list(services)
    files = [str(path) for path in (settings.log / f"{name}.log" for name in names) if path.exists()]
    if not files:
        print(f"no logs in {settings.log}: nothing was started here yet, `make up` does")
        return 0
    follow = ["--follow=name"] if arguments.follow else []
    return subprocess.run(["tail", f"--lines={arguments.lines}", *follow, *files], check=False).returncode


def run(settings: LabSettings, arguments: argparse.Namespace) -> int:
    """Replace this process by a command inside the Debian root, with the instance's directories mounted."""
    ensure_root(settings.root)
    settings.create_directories()
    script = mount_script(settings)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *arguments.command]
    os.execvp(command[0], command)  # noqa: S606 - this is what the command is for


def root(settings: LabSettings, _arguments: argparse.Namespace) -> int:
    """Build the Debian root unless the machine has it."""
    print(ensure_root(settings.root))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="The whole platform on one machine")
    parser.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY, help="of the instance (default: var/lab)")
    commands = parser.add_subparsers(required=True, metavar="command")
    for function in (up, down, status, logs, run, root):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(run=function)
        if function is down:
            command.add_argument("--wait", action="store_true", help="wait for benches and tests that are at work")
        if function in {up, logs}:
            command.add_argument("names", nargs="*", help="services (default: all)")
        if function is logs:
            command.add_argument("--follow", action="store_true")
            command.add_argument("--lines", type=int, default=40)
        if function is run:
            command.add_argument(
                "command", nargs=argparse.REMAINDER, help="e.g. asterisk -C ... -rx 'core show uptime'"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
