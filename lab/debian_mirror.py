"""Finds out where this machine gets its Debian packages, so that the repository names no mirror."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

MIRROR_VARIABLE = "ENTRYPHONE_DEBIAN_MIRROR"
APT_DIRECTORY = Path("/etc/apt")

_CARRIED_OPTION = re.compile(
    r'^(Acquire::(?:http|https|ftp|Retries|ForceIPv4|ForceIPv6|Queue-Mode)(?:::[^ "]*)?) "([^"]+)";$',
    re.IGNORECASE,
)


class MirrorUnknownError(Exception):
    """The machine's apt settings name no Debian mirror."""


def find_mirror(apt_directory: Path = APT_DIRECTORY) -> str:
    """The URL of the Debian archive this machine installs from, without trailing slash.

    Raises:
        MirrorUnknownError: neither the environment nor apt's settings name one.
    """
    chosen = os.environ.get(MIRROR_VARIABLE)
    if chosen:
        return chosen.rstrip("/")
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)|$(LABEL)|$(CODENAME)"],
        capture_output=True,
        text=True,
        check=False,
    )
    site = site_from_index_targets(listed.stdout) or site_from_sources(apt_directory)
    if site is None:
        raise MirrorUnknownError(
            f"no Debian mirror in the sources of {apt_directory}; name one with {MIRROR_VARIABLE}=URL",
        )
    return _resolve_mirror_list(site)


def site_from_index_targets(text: str) -> str | None:
    """The first site labelled `Debian`, from lines of `SITE|LABEL|CODENAME` (`apt-get indextargets`).

    Labels come from downloaded indexes, so on a machine without any (a fresh container) this finds nothing.
    """
    for line in text.splitlines():
        site, label, codename = [*line.split("|"), "", ""][:3]
        if label == "Debian" and "security" not in codename and "backports" not in codename:
            return site.rstrip("/")
    return None


def site_from_sources(apt_directory: Path) -> str | None:
    """The first plain Debian archive in apt's source files (one-line and deb822), security and others left out."""
    parts = apt_directory / "sources.list.d"
    files = [apt_directory / "sources.list", *sorted(parts.glob("*.sources")), *sorted(parts.glob("*.list"))]
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8")
        entries = _deb822_entries(text) if file.suffix == ".sources" else _one_line_entries(text)
        for uri, suite, components in entries:
            if "main" in components and _is_plain_debian(uri, suite):
                return uri.rstrip("/")
    return None


def carried_apt_options(dump: str) -> list[str]:
    """Options of `apt-config dump` that say how to reach the mirror (proxies, certificates, retries).

    Whether an out-of-date index is acceptable is not among them: that is decided, with a warning, where it matters.
    """
    options = []
    for line in dump.splitlines():
        match = _CARRIED_OPTION.match(line)
        if match:
            options.append(f'{match[1]} "{match[2]}"')
    return options


def machine_apt_options() -> list[str]:
    """`carried_apt_options` of this machine."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    return carried_apt_options(dump.stdout)


def _is_plain_debian(uri: str, suite: str) -> bool:
    path = re.sub(r"^[a-z+]+://?", "", uri).rstrip("/")
    if "security" in path or "security" in suite or suite.endswith(("/", "-backports")):
        return False
    return re.search(r"(^|/)debian($|[./])", path) is not None


def _one_line_entries(text: str) -> list[tuple[str, str, list[str]]]:
    entries = []
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            entries.append((match[1], match[2], match[3].split()))
    return entries


def _deb822_entries(text: str) -> list[tuple[str, str, list[str]]]:
    entries: list[tuple[str, str, list[str]]] = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        unfolded = re.sub(r"\n[ \t]+", " ", "\n".join(lines))
        fields = {
            name.strip().lower(): value.split()
            for name, colon, value in (line.partition(":") for line in unfolded.splitlines())
            if colon
        }
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        entries.extend(
            (uri, suite, fields.get("components", []))
            for uri in fields.get("uris", [])
            for suite in fields.get("suites", [])
        )
    return entries


def _resolve_mirror_list(site: str) -> str:
    """Cloud images point apt at a file of mirrors (`mirror+file:`); take its first line."""
    match = re.match(r"^mirror\+file:(?://)?(/.+)$", site)
    if match is None:
        return site
    for line in Path(match[1]).read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            return words[0].rstrip("/")
    raise MirrorUnknownError(f"{match[1]} lists no mirror; name one with {MIRROR_VARIABLE}=URL")
