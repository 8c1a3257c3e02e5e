"""What KSR has, by the stub: each function and the types of its parameters."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

STUB = Path(__file__).resolve().parents[3] / "stubs" / "KSR.pyi"
_TYPES: dict[str, type] = {"int": int, "str": str, "bool": bool}


@functools.cache
def signatures() -> dict[str, tuple[type, ...]]:
    """Parameter types by `module.function` (core functions without a module), read from the stub."""
    found: dict[str, tuple[type, ...]] = {}
    for node in ast.parse(STUB.read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        prefix = "" if node.name == "Ksr" else node.name[1:].lower() + "."
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and not item.decorator_list:
                annotations = [argument.annotation for argument in item.args.posonlyargs[1:]]
                found[prefix + item.name] = tuple(_TYPES[a.id] for a in annotations if isinstance(a, ast.Name))
    return found
