"""Where packages come from is read from the machine's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import debian_mirror
from lab.debian_root import index_is_expired, root_key

if TYPE_CHECKING:
    from pathlib import Path


def test_first_site_labelled_debian_is_the_mirror() -> None:
    text = (
        "http://security.example/debian-security|Debian-Security|bookworm-security\n"
        "https://tools.example/apt|Tools|stable\n"
        "http://mirror.example/debian/|Debian|bookworm\n"
        "http://other.example/debian|Debian|bookworm\n"
    )
    assert debian_mirror.site_from_index_targets(text) == "http://mirror.example/debian"


def test_without_indexes_no_site_is_labelled() -> None:
    assert debian_mirror.site_from_index_targets("http://mirror.example/debian||\n") is None
    assert debian_mirror.site_from_index_targets("") is None


def test_deb822_sources_are_read_and_security_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\nURIs: http://security.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n"
        "Types: deb deb-src\n# a comment\nURIs: http://mirror.example/debian/\nSuites: bookworm\n  bookworm-updates\n"
        "Components: main contrib\n"
    )
    assert debian_mirror.site_from_sources(tmp_path) == "http://mirror.example/debian"


def test_disabled_and_source_only_stanzas_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb-src\nURIs: http://source.example/debian\nSuites: bookworm\nComponents: main\n"
    )
    assert debian_mirror.site_from_sources(tmp_path) is None


def test_one_line_sources_are_read_with_options(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "# deb http://comment.example/debian bookworm main\n"
        "deb https://packages.tools.example/apt stable main\n"
        "deb http://security.example/debian-security bookworm-security main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # here\n"
    )
    assert debian_mirror.site_from_sources(tmp_path) == "http://mirror.example/debian"


def test_environment_overrides_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(debian_mirror.MIRROR_VARIABLE, "http://chosen.example/debian/")
    assert debian_mirror.find_mirror() == "http://chosen.example/debian"


def test_machine_without_mirror_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(debian_mirror.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(debian_mirror, "site_from_index_targets", lambda _text: None)
    with pytest.raises(debian_mirror.MirrorUnknownError, match="ENTRYPHONE_DEBIAN_MIRROR=URL"):
        debian_mirror.find_mirror(tmp_path)


def test_file_of_mirrors_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrors = tmp_path / "mirrors.list"
    mirrors.write_text("# ours\nhttp://mirror.example/debian/ priority:1\n")
    monkeypatch.delenv(debian_mirror.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(debian_mirror, "site_from_index_targets", lambda _text: f"mirror+file:{mirrors}")
    assert debian_mirror.find_mirror() == "http://mirror.example/debian"


def test_proxies_are_carried_and_leniency_is_not() -> None:
    dump = (
        'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::https::Proxy::mirror.example "DIRECT";\n'
        'Acquire::Check-Valid-Until "false";\nAcquire::Retries "3";\nAcquire::http "";\n'
        'APT::Install-Recommends "1";\n'
    )
    assert debian_mirror.carried_apt_options(dump) == [
        'Acquire::http::Proxy "http://proxy.example:3128"',
        'Acquire::https::Proxy::mirror.example "DIRECT"',
        'Acquire::Retries "3"',
    ]


def test_only_an_expired_index_counts_as_expired() -> None:
    assert index_is_expired("E: Release file for http://m/InRelease is expired (invalid since 15d).")
    assert not index_is_expired("E: The repository 'http://m forky InRelease' is not signed.")


def test_root_key_follows_the_package_list(monkeypatch: pytest.MonkeyPatch) -> None:
    before = root_key()
    assert root_key() == before
    monkeypatch.setattr("lab.debian_root.PACKAGES", ("kamailio",))
    assert root_key() != before
