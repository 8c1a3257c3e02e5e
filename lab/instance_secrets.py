"""The secrets of one lab instance: made once, kept in its directory for root only."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class InstanceSecrets:
    """Random for every instance; nothing in the repository is a secret of a running system."""

    sip_nonce_secret: str
    asterisk_manager_secret: str
    crm_service_token: str
    crm_operator_token: str
    push_webhook_secret: str


def load_secrets(path: Path) -> InstanceSecrets:
    """Read the secrets, making those that do not exist yet."""
    stored: dict[str, str] = {}
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
    made = {
        "sip_nonce_secret": secrets.token_hex(32),
        "asterisk_manager_secret": secrets.token_urlsafe(24),
        "crm_service_token": secrets.token_urlsafe(32),
        "crm_operator_token": secrets.token_urlsafe(32),
        "push_webhook_secret": secrets.token_urlsafe(32),
    }
    known = {field.name for field in fields(InstanceSecrets)}
    found = InstanceSecrets(**{**made, **{name: value for name, value in stored.items() if name in known}})
    if asdict(found) != stored:
        write_private(path, json.dumps(asdict(found), indent=2) + "\n")
    return found


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable for its owner only from its first moment."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
