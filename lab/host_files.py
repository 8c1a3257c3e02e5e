"""Writes what differs per host: the files of `/etc/entryphone`, from the examples beside the static configuration.

The examples are the templates: a name the lab wants to set and an example no longer has is an error, so the two cannot
drift apart unnoticed.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lab.instance_secrets import InstanceSecrets, load_secrets, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import LabSettings

SERVERS_LIB = "/var/lib/entryphone"
_BACKSLASH = chr(92)


class HostFileError(Exception):
    """An example and the lab disagree about a name; the message names both."""


def write_host_files(settings: LabSettings) -> InstanceSecrets:
    """Write every per-host file of the instance, mode 600; returns the instance's secrets."""
    settings.create_directories()
    secrets = load_secrets(settings.directory / "secrets.json")
    write_private(settings.etc / "kamailio-host.cfg", kamailio_host_file(settings, secrets))
    write_private(settings.etc / "dispatcher.list", dispatcher_list(settings))
    (settings.run / "kamailio").mkdir(exist_ok=True)
    (settings.lib / "probes").mkdir(exist_ok=True)
    (settings.lib / "sounds").mkdir(exist_ok=True)
    for node in settings.every_asterisk_node:
        _write_asterisk_node(settings, secrets, node)
    write_private(settings.etc / "agi.json", json.dumps(agi_settings(settings, secrets), indent=2) + "\n")
    write_private(settings.etc / "crm.json", json.dumps(crm_settings(settings, secrets), indent=2) + "\n")
    return secrets


def kamailio_host_file(settings: LabSettings, secrets: InstanceSecrets) -> str:
    """`kamailio-host.cfg` of the lab."""
    example = (settings.repository / "kamailio" / "kamailio-host.cfg.example").read_text(encoding="utf-8")
    crm_url = f"sqlite:///{SERVERS_LIB}/crm.db"
    if settings.database == "postgres":
        crm_url = f"postgres://postgres@{settings.postgres_host}:{settings.postgres_port}/postgres"
        example = replace_lines(example, {"# #!define EP_POSTGRES": "#!define EP_POSTGRES"})
        example = replace_lines(example, {f'#!substdef "!EP_CRM_DB_FILE!{SERVERS_LIB}/crm.db!g"': ""})
    return set_kamailio_names(
        example,
        {
            "EP_SIP_ADDRESS": settings.sip_address,
            "EP_SIP_PORT": str(settings.sip_port),
            "EP_DOMAIN": settings.domain,
            "EP_CHILDREN": str(max(2, os.cpu_count() or 2)),
            "EP_AUTH_SECRET": secrets.sip_nonce_secret,
            "EP_CRM_DB_URL": crm_url,
            "EP_LOCATION_DB_URL": f"sqlite:///{SERVERS_LIB}/location.db",
            "EP_LOCATION_DB_FILE": f"{SERVERS_LIB}/location.db",
            "EP_REDIS_URL": settings.redis_url,
            **settings.kamailio_overrides,
        },
    )


def replace_lines(example: str, lines: dict[str, str]) -> str:
    """Put other lines in the place of lines of `kamailio-host.cfg.example`.

    Raises:
        HostFileError: the example has not exactly one such line.
    """
    found = example.split("\n")
    for line, other in lines.items():
        if found.count(line) != 1:
            raise HostFileError(
                f"kamailio-host.cfg.example has {found.count(line)} lines {line!r}, the lab expects one"
            )
        found[found.index(line)] = other
    return "\n".join(found)


def set_kamailio_names(example: str, values: dict[str, str]) -> str:
    """Put values into the `substdef` and `define` lines of `kamailio-host.cfg.example`.

    Raises:
        HostFileError: the example does not set one of the names exactly once, or a value holds its separator.
    """
    text = example
    for name, value in values.items():
        if any(character in value for character in '!"\n'):
            raise HostFileError(f"{name} is {value!r}: must hold no exclamation mark, quote or newline")
        substituted = re.compile(rf'^(#!substdef "!{name}!)[^!]*(!g")$', re.MULTILINE)
        defined = re.compile(rf"^(#!define {name} ).*$()", re.MULTILINE)
        count = 0
        for pattern in (substituted, defined):
            text, found = pattern.subn(rf"\g<1>{value.replace(_BACKSLASH, _BACKSLASH * 2)}\g<2>", text)
            count += found
        if count != 1:
            raise HostFileError(f"kamailio-host.cfg.example sets {name} {count} times, the lab expects it once")
    return text


def dispatcher_list(settings: LabSettings) -> str:
    """Kamailio's dispatcher: set 1 all Asterisk nodes, set 2 the one that emergency calls go to first."""
    lines = ["# setid destination flags priority attributes"]
    lines += [
        f"1 sip:{address}:{settings.asterisk_port} 0 0 duid={node}" for node, address in settings.asterisk_nodes.items()
    ]
    for name, address in (settings.probe_node, settings.emergency_node):
        # Known as one of ours, and never chosen for a visitor (flag 4: disabled).
        lines.append(f"1 sip:{address}:{settings.asterisk_port} 4 0 duid={name}")
    name, address = settings.emergency_node
    lines.append(f"2 sip:{address}:{settings.asterisk_port} 0 0 duid={name}")
    return "\n".join(lines) + "\n"


def agi_settings(settings: LabSettings, secrets: InstanceSecrets) -> dict[str, str]:
    """`agi.json`. The FastAGI server runs on the machine, so its paths are the machine's."""
    return {
        "agi_address": f"{settings.agi_host}:{settings.agi_port}",
        "redis_url": settings.redis_url,
        "crm_url": settings.crm_url,
        "crm_token": secrets.crm_service_token,
        "store_path": str(settings.lib / "agi.db"),
    }


def crm_settings(settings: LabSettings, secrets: InstanceSecrets) -> dict[str, object]:
    """`crm.json`. The CRM runs on the machine, so its paths are the machine's; `migrate` makes both tokens."""
    return {
        "database_url": settings.crm_database_url,
        "redis_url": settings.redis_url,
        "sip_domain": settings.domain,
        "encryption_key_file": str(settings.lib / "crm-encryption.key"),
        "bind": f"{settings.crm_host}:{settings.crm_port}",
        "sip_proxy": f"{settings.sip_address}:{settings.sip_port}",
        "probes": {
            "asterisk": [
                {"host": settings.probe_node[1], "secret": secrets.asterisk_manager_secret},
            ],
            "kamailio": f"{settings.sip_address}:{settings.sip_port}",
            "recordings": str(settings.lib / "probes"),
        },
        "bootstrap_tokens": [
            {"name": "lab operator", "kind": "platform", "token": secrets.crm_operator_token},
            {"name": "call path", "kind": "service", "token": secrets.crm_service_token},
        ],
        "public_url": settings.crm_url,
        "webhook_networks": ["127.0.0.0/8"],
        "device_networks": ["127.0.0.0/8"],
        "push": push_settings(settings, secrets),
        "twilio_api_url": f"http://{settings.twilio_host}",
        "twilio_sip_address": f"{settings.sip_address}:{settings.sip_port}",
    }


def push_settings(settings: LabSettings, secrets: InstanceSecrets) -> dict[str, object]:
    """Push services of the lab: those that `lab.peers.push_services` plays, with keys made once for the instance."""
    base = f"http://{settings.push_host}"
    keys = settings.lib / "push"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    rsa_file, ec_file = keys / "fcm.pem", keys / "apns.p8"
    if not rsa_file.exists():
        _write_key(rsa_file, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    if not ec_file.exists():
        _write_key(ec_file, ec.generate_private_key(ec.SECP256R1()))
    return {
        "fcm": {
            "project_id": "entryphone-lab",
            "client_email": "push@entryphone-lab.example",
            "private_key_file": str(rsa_file),
            "url": base,
            "token_url": f"{base}/token",
        },
        "apns": {
            "team_id": "TEAM123456",
            "key_id": "KEY1234567",
            "private_key_file": str(ec_file),
            "topic": "test.entryphone.app",
            "url": base,
        },
        "hms": {"app_id": "100001", "app_secret": "lab-secret", "url": base, "token_url": f"{base}/oauth2/v3/token"},
        "webhook": {"secret": secrets.push_webhook_secret, "url_prefixes": [f"{base}/hook/"]},
    }


def _write_key(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(path, text.decode())


def replace_each(text: str, replacements: dict[str, str], source: Path) -> str:
    """Replace every whole word of an example by the value of this host, all at once.

    Raises:
        HostFileError: the example does not contain one of the words.
    """
    for word in replacements:
        if not re.search(_word(word), text):
            raise HostFileError(f"{source} no longer contains {word!r}, which the lab replaces by its own value")
    pattern = "|".join(_word(word) for word in replacements)
    return re.sub(pattern, lambda match: replacements[match[0]], text)


def _word(word: str) -> str:
    return rf"(?<![\w.-]){re.escape(word)}(?![\w-]|\.\d)"


def _write_asterisk_node(settings: LabSettings, secrets: InstanceSecrets, node: str) -> None:
    """The node's `astetcdir`: its own files beside links to the static ones as the server sees them."""
    address = settings.every_asterisk_node[node]
    makes_probes, is_for_emergencies = node == settings.probe_node[0], node == settings.emergency_node[0]
    directory = settings.etc / "asterisk" / node
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for parent in (settings.run, settings.log):
        (parent / node).mkdir(exist_ok=True)
    static = settings.repository / "asterisk"
    examples = static / "host.example"
    replacements = {
        "asterisk.conf": {"ast1": node, "02:00:00:00:00:21": f"02:00:00:00:00:{int(address.rpartition('.')[2]):02}"},
        "host-globals.conf": {
            "ast1": node,
            "127.0.0.30:4573": f"{settings.agi_host}:{settings.agi_port}",
            "127.0.0.10:5060": f"{settings.sip_address}:{settings.sip_port}",
        },
        "host-manager.conf": {
            "127.0.0.21": address,
            "change-me": secrets.asterisk_manager_secret,
            **({"enabled = no": "enabled = yes"} if makes_probes else {}),
        },
        "host-pjsip.conf": {
            "127.0.0.21": address,
            "127.0.0.10": settings.sip_address,
            **({"; rtp_timeout": "rtp_timeout"} if is_for_emergencies else {}),
        },
    }
    unknown = {file.name for file in examples.iterdir()} ^ replacements.keys()
    if unknown:
        raise HostFileError(f"{examples} and lab/host_files.py disagree about {', '.join(sorted(unknown))}")
    for name, words in replacements.items():
        example = examples / name
        write_private(directory / name, replace_each(example.read_text(encoding="utf-8"), words, example))
    for file in static.glob("*.conf"):
        link = directory / file.name
        link.unlink(missing_ok=True)
        own = makes_probes and (static / "probe" / file.name).exists()
        link.symlink_to(f"/opt/entryphone/asterisk/{'probe/' if own else ''}{file.name}")
