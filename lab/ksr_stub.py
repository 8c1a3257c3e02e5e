"""Writes `stubs/KSR.pyi` from the list of KEMI functions that a running Kamailio gives.

Run against a Kamailio started with our modules: `python -m lab.ksr_stub /run/.../rpc.sock > stubs/KSR.pyi`.
Parameter names are not part of the list, so they are p0, p1, ...
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_PYTHON_TYPE = {"none": "None", "int": "int", "bool": "bool", "str": "str", "xval": "Value"}
# `async` is a keyword and cannot be an attribute in source; modules of such names are left out of the stub.
_KEYWORDS = {"async"}
_RPC_TIMEOUT_S = 60.0
_RECEIVE_BYTES = 4 << 20

_HEAD = """# ruff: noqa: N801, N802
# KEMI functions of Kamailio with the modules of kamailio/modules.cfg. Written by lab/ksr_stub.py.
# Integers: > 0 true, < 0 false, 0 stop. `Value` is what a pseudo-variable holds: text, number or nothing.
from typing import Protocol, TypeAlias

Value: TypeAlias = str | int | None
"""


@dataclass(frozen=True, order=True)
class Function:
    """One KEMI function: module (empty for the core), name, parameter types, return type."""

    module: str
    name: str
    parameters: tuple[str, ...]
    returns: str


def fetch(socket_path: Path) -> list[Function]:
    """Ask a running Kamailio for its functions.

    Kamailio answers to the path the client is bound to. It is bound by a relative path in the directory of the socket,
    which is Kamailio's working directory (`-w`), so this works through a chroot as well.

    Raises:
        OSError: nobody listens, or no answer within a minute: on a busy machine the list of functions takes its time.
    """
    home = Path.cwd()
    mine = Path(f"stub-{os.getpid()}.sock")
    os.chdir(socket_path.parent)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as rpc:
            rpc.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            rpc.settimeout(_RPC_TIMEOUT_S)
            rpc.bind(str(mine))
            rpc.connect(socket_path.name)
            rpc.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "app_python.api_list"}).encode())
            answer = json.loads(rpc.recv(_RECEIVE_BYTES))
    finally:
        mine.unlink(missing_ok=True)
        os.chdir(home)
    return parse(answer)


def parse(answer: dict[str, object]) -> list[Function]:
    """Functions of the RPC's JSON answer, sorted and without repetition.

    Raises:
        ValueError: the answer is not that of `app_python.api_list`.
    """
    result = answer.get("result")
    if not isinstance(result, dict) or "methods" not in result:
        raise ValueError(f"answer of app_python.api_list has no result.methods: {str(answer)[:200]}")
    functions = set()
    for method in result["methods"]:
        item = method["func"]
        parameters = tuple(
            part.strip() for part in (item["params"] or "").split(",") if part.strip() not in ("", "none")
        )
        functions.add(Function(item["module"], item["name"], parameters, item["ret"]))
    return sorted(functions)


def _returns(function: Function) -> str:
    """Python type of the result; narrower than `Value` where the C source always gives text, or a number."""
    if function.returns != "xval":
        return _PYTHON_TYPE[function.returns]
    if function.module not in ("hdr", "kx"):
        return "Value"
    if function.name.endswith("port"):
        return "int"
    return "str" if function.name.startswith(("gete_", "getw_")) or function.name in ("gete", "getw") else "str | None"


def _method(function: Function) -> str:
    parameters = "".join(f", p{i}: {_PYTHON_TYPE[kind]}" for i, kind in enumerate(function.parameters))
    comma = ", /" if parameters else ""
    return f"    def {function.name}(self{parameters}{comma}) -> {_returns(function)}: ..."


def render(functions: list[Function]) -> str:
    """Text of the stub."""
    modules: dict[str, list[Function]] = defaultdict(list)
    for function in functions:
        if function.module not in _KEYWORDS and function.name.isidentifier():
            modules[function.module].append(function)
    core = modules.pop("", [])
    lines = [_HEAD]
    for module in sorted(modules):
        lines += [f"class _{module.capitalize()}(Protocol):", *map(_method, modules[module]), ""]
    lines.append("class Ksr(Protocol):")
    for module in sorted(modules):
        lines += ["    @property", f"    def {module}(self) -> _{module.capitalize()}: ..."]
    lines += [*map(_method, core), ""]
    lines += [*(f"{module}: _{module.capitalize()}" for module in sorted(modules)), ""]
    for function in core:
        lines.append(_method(function).strip().replace("(self, /", "(").replace("(self, ", "(").replace("(self)", "()"))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render(fetch(Path(sys.argv[1]))))
