"""Per-host files are the examples with this host's values in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agi_apps.config import load_config
from crm_api.config import read_config
from lab import host_files
from lab.instance_secrets import load_secrets
from lab.settings import LabSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> LabSettings:
    return replace(LabSettings(), directory=tmp_path / "lab")


def test_every_secret_is_private_and_survives_a_second_run(settings: LabSettings) -> None:
    first = host_files.write_host_files(settings)
    assert host_files.write_host_files(settings) == first
    files = [path for path in settings.directory.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) >= 10
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert settings.directory.stat().st_mode & 0o777 == 0o700


def test_two_instances_share_no_secret(tmp_path: Path) -> None:
    one, other = load_secrets(tmp_path / "one.json"), load_secrets(tmp_path / "other.json")
    assert not set(vars(one).values()) & set(vars(other).values())


def test_agi_and_crm_accept_their_files(settings: LabSettings) -> None:
    secrets = host_files.write_host_files(settings)
    agi = load_config(settings.etc / "agi.json")
    crm = read_config(settings.etc / "crm.json")
    assert agi.listen_on() == ("127.0.0.30", 4573)
    assert agi.crm_token == secrets.crm_service_token
    assert {token.kind: token.token for token in crm.bootstrap_tokens} == {
        "platform": secrets.crm_operator_token,
        "service": secrets.crm_service_token,
    }


def test_no_example_secret_is_left(settings: LabSettings) -> None:
    host_files.write_host_files(settings)
    written = "".join(path.read_text() for path in settings.etc.rglob("*") if path.is_file() and not path.is_symlink())
    assert "change-me" not in written


def test_second_node_has_its_own_names_and_addresses(settings: LabSettings) -> None:
    host_files.write_host_files(settings)
    directory = settings.etc / "asterisk" / "ast2"
    written = "".join(
        (directory / name).read_text() for name in ("asterisk.conf", "host-globals.conf", "host-pjsip.conf")
    )
    code = "\n".join(line for line in written.splitlines() if not line.startswith(";"))
    assert "ast1" not in code
    assert "127.0.0.21" not in code
    assert "entityid = 02:00:00:00:00:22" in code
    assert "bind = 127.0.0.22:5060" in code
    assert "match = 127.0.0.10/32" in code


def test_static_files_are_links_to_the_repository_as_servers_see_it(settings: LabSettings) -> None:
    host_files.write_host_files(settings)
    link = settings.etc / "asterisk" / "ast1" / "extensions.conf"
    assert str(link.readlink()) == "/opt/entryphone/asterisk/extensions.conf"


def test_kamailio_names_are_set_in_both_forms() -> None:
    example = '#!substdef "!EP_DOMAIN!example.test!g"\n#!define EP_CHILDREN 4\n# EP_DOMAIN in a comment\n'
    text = host_files.set_kamailio_names(example, {"EP_DOMAIN": r"a\b.test", "EP_CHILDREN": "2"})
    assert text == '#!substdef "!EP_DOMAIN!a\\b.test!g"\n#!define EP_CHILDREN 2\n# EP_DOMAIN in a comment\n'


def test_a_name_the_example_lost_is_an_error() -> None:
    with pytest.raises(host_files.HostFileError, match="sets EP_GONE 0 times"):
        host_files.set_kamailio_names("#!define EP_OTHER 1\n", {"EP_GONE": "1"})


@pytest.mark.parametrize("value", ['a"b', "a!b", "a\nb"])
def test_a_value_cannot_end_its_own_line(value: str) -> None:
    with pytest.raises(host_files.HostFileError, match="EP_DOMAIN"):
        host_files.set_kamailio_names('#!substdef "!EP_DOMAIN!x!g"\n', {"EP_DOMAIN": value})


def test_whole_words_are_replaced_at_once(tmp_path: Path) -> None:
    text = host_files.replace_each("a=ast1 ast11 127.0.0.1 127.0.0.10/32", {"ast1": "x", "127.0.0.1": "y"}, tmp_path)
    assert text == "a=x ast11 y 127.0.0.10/32"
    with pytest.raises(host_files.HostFileError, match="no longer contains 'gone'"):
        host_files.replace_each("text", {"gone": "x"}, tmp_path)


def test_overrides_reach_kamailio(settings: LabSettings) -> None:
    changed = replace(settings, kamailio_overrides={"EP_CHILDREN": "1"})
    secrets = host_files.write_host_files(changed)
    assert "#!define EP_CHILDREN 1\n" in (changed.etc / "kamailio-host.cfg").read_text()
    assert secrets.sip_nonce_secret in (changed.etc / "kamailio-host.cfg").read_text()


def test_stored_secrets_of_another_version_are_completed(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({"crm_service_token": "kept" * 10, "gone": "x"}))
    assert load_secrets(path).crm_service_token == "kept" * 10
    assert "gone" not in json.loads(path.read_text())


def test_on_postgres_kamailio_reads_the_crms_database_there(tmp_path: Path) -> None:
    settings = replace(LabSettings(), directory=tmp_path, database="postgres")
    text = host_files.kamailio_host_file(settings, load_secrets(tmp_path / "secrets.json")).splitlines()
    assert '#!substdef "!EP_CRM_DB_URL!postgres://postgres@127.0.0.60:5432/postgres!g"' in text
    assert "#!define EP_POSTGRES" in text
    assert not [line for line in text if "EP_CRM_DB_FILE" in line and not line.startswith("# ")]
    assert '#!substdef "!EP_LOCATION_DB_URL!sqlite:////var/lib/entryphone/location.db!g"' in text


def test_the_example_of_the_nodes_is_the_labs_list() -> None:
    settings = LabSettings()
    example = (settings.repository / "kamailio" / "dispatcher.list.example").read_text(encoding="utf-8")
    assert example.endswith(host_files.dispatcher_list(settings))
