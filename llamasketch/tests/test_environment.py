"""The environment: every bad value is one sentence that names its variable."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import environ
import pytest

from generation.tests.processes import ROOT, python_run
from llamasketch.environment import (
    PRODUCTION_MUST_HAVE,
    SettingError,
    email_settings,
    environment_read,
)

PRODUCTION = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "x" * 50,
    "ALLOWED_HOSTS": "draw.example.com",
    "DATABASE_URL": "postgres://draw@db.example.com/draw",
    "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
    "USAGE_SALT": "y" * 50,
}

BAD = {
    "mode unknown": ("ENVIRONMENT", "staging"),
    "mode upper case": ("ENVIRONMENT", "Production"),
    "port a word": ("PORT", "http"),
    "port 0": ("PORT", "0"),
    "port too large": ("PORT", "65536"),
    "port negative": ("PORT", "-1"),
    "port a fraction": ("PORT", "80.5"),
    "hosts nothing": ("ALLOWED_HOSTS", ","),
    "database no URL": ("DATABASE_URL", "llamasketch.sqlite3"),
    "database unknown": ("DATABASE_URL", "mysql://u:p@127.0.0.1/x"),
    "database without scheme": ("DATABASE_URL", "://x"),
    "database half an address": ("DATABASE_URL", "postgres://[::1/x"),
    "database a port that is none": ("DATABASE_URL", "postgres://u@127.0.0.1:port/x"),
    "usage database unknown": ("USAGE_DB", "mysql://u:p@127.0.0.1/x"),
    "usage database half an address": ("USAGE_DB", "postgres://[::1/x"),
    "usage database in no folder": ("USAGE_DB", "/nonexistent/folder/usage.db"),
    "redis no URL": ("REDIS_URL", "127.0.0.1:6379"),
    "redis unknown": ("REDIS_URL", "http://127.0.0.1:6379"),
    "redis half an address": ("REDIS_URL", "redis://[::1"),
    "redis a port that is none": ("REDIS_URL", "redis://127.0.0.1:port/0"),
    "comfyui no URL": ("COMFYUI_URL", "127.0.0.1:8188"),
    "comfyui unknown": ("COMFYUI_URL", "ftp://127.0.0.1:8188"),
    "comfyui nameless": ("COMFYUI_URL", "http://"),
    "comfyui a port that is none": ("COMFYUI_URL", "http://gpu.example.com:port"),
    "comfyui a port too large": ("COMFYUI_URL", "http://gpu.example.com:99999"),
    "comfyui half an address": ("COMFYUI_URL", "http://[::1"),
    "comfyui one bad of two": ("COMFYUI_URL", "http://127.0.0.1:8188,nonsense"),
    "comfyui with spaces": ("COMFYUI_URL", "http://one.example.com http://two.example.com"),
    "comfyui nothing": ("COMFYUI_URL", " , "),
    "simulated maybe": ("COMFYUI_SIMULATED", "maybe"),
    "sign-up maybe": ("SIGNUP_ENABLED", "maybe"),
    "sign-up 2": ("SIGNUP_ENABLED", "2"),
    "limit a word": ("DAILY_LIMIT", "many"),
    "limit negative": ("DAILY_LIMIT", "-1"),
    "limit with a unit": ("DAILY_LIMIT", "100/day"),
    "queue 0": ("QUEUE_LIMIT", "0"),
    "queue a word": ("QUEUE_LIMIT", "long"),
    "stall 0": ("STALL_TIMEOUT_S", "0"),
    "stall NaN": ("STALL_TIMEOUT_S", "nan"),
    "run infinite": ("RUN_TIMEOUT_S", "inf"),
    "run negative": ("RUN_TIMEOUT_S", "-5"),
    "run with a unit": ("RUN_TIMEOUT_S", "15min"),
    "queue time too long": ("QUEUE_TIMEOUT_S", "86401"),
    "vite maybe": ("VITE_DEV", "maybe"),
    "proxies a name": ("TRUSTED_PROXIES", "proxy.example.com"),
    "proxies with host bits": ("TRUSTED_PROXIES", "10.0.0.1/8"),
    "sentry no URL": ("SENTRY_DSN", "nonsense"),
    "data below a file": ("DATA_DIR", str(ROOT / "manage.py" / "data")),
    "data a file": ("DATA_DIR", str(ROOT / "manage.py")),
    "data of nobody": ("DATA_DIR", "~nobody-of-this-name/data"),
}


def read(folder: Path, **variables: str) -> object:
    """Read these variables, with a data directory."""
    return environment_read(prefixed({"DATA_DIR": str(folder), **variables}), root=folder)


def prefixed(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables under their whole names."""
    return {f"PENCIL_{name}": value for name, value in variables.items()}


@pytest.mark.parametrize(("name", "value"), BAD.values(), ids=BAD)
def test_a_bad_value_is_one_sentence_that_names_its_variable(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingError) as refusal:
        read(tmp_path, **{name: value})

    sentence = str(refusal.value)
    assert sentence.startswith(f"PENCIL_{name}")
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://mail.example.com", "smtp://[::1", "smtp+tls://u:p@mail:port", "://"],
)
def test_a_bad_mail_address_is_one_sentence(url: str) -> None:
    with pytest.raises(SettingError, match=r"^PENCIL_EMAIL_URL .*\.$"):
        email_settings(url)


def test_a_good_mail_address_is_understood() -> None:
    values = email_settings("smtp+tls://user:pass%2Fword@mail.example.com:587")

    assert (values["EMAIL_HOST"], values["EMAIL_PORT"]) == ("mail.example.com", 587)
    assert (values["EMAIL_HOST_USER"], values["EMAIL_HOST_PASSWORD"]) == ("user", "pass/word")
    assert values["EMAIL_USE_TLS"] is True


def test_a_secret_never_stands_in_a_refusal(tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "USAGE_DB", "REDIS_URL"):
        with pytest.raises(SettingError) as refusal:
            read(tmp_path, **{name: "nonsense://user:hunter2@db.example.com/x"})
        assert "hunter2" not in str(refusal.value)
    with pytest.raises(SettingError) as refusal:
        email_settings("nonsense://user:hunter2@mail.example.com")
    assert "hunter2" not in str(refusal.value)


# --- Production ---


@pytest.mark.parametrize("missing", PRODUCTION_MUST_HAVE)
@pytest.mark.parametrize("value", [None, "", "   "], ids=["unset", "empty", "spaces"])
def test_production_does_not_start_without_what_it_needs(
    tmp_path: Path, missing: str, value: str | None
) -> None:
    variables = {name: text for name, text in PRODUCTION.items() if name != missing}
    if value is not None:
        variables[missing] = value

    with pytest.raises(SettingError, match=rf"^PENCIL_{missing} is not set"):
        read(tmp_path, **variables)


def test_production_has_a_shut_gate_and_makes_no_secrets(tmp_path: Path) -> None:
    environment = environment_read(
        prefixed({**PRODUCTION, "DATA_DIR": str(tmp_path)}), root=tmp_path
    )

    assert environment.is_production
    assert not environment.signup_enabled
    assert environment.secret_key == PRODUCTION["SECRET_KEY"]
    assert list(tmp_path.iterdir()) == []


# --- What a local start may leave out ---


def test_a_local_start_needs_nothing(tmp_path: Path) -> None:
    environment = environment_read({}, root=tmp_path)

    assert environment.mode == "local"
    assert environment.data_dir == tmp_path / "data"
    assert environment.port == 8100
    assert environment.redis_url == "redis://127.0.0.1:6379/0"
    assert environment.comfyui_urls == ("http://127.0.0.1:18188",)
    assert environment.signup_enabled
    assert environment.daily_limit == 1000
    assert not environment.is_simulated


def test_empty_variables_count_as_left_out(tmp_path: Path) -> None:
    left_out = environment_read({}, root=tmp_path)
    names = ("PORT", "REDIS_URL", "COMFYUI_URL", "SIGNUP_ENABLED", "DAILY_LIMIT", "SENTRY_DSN")

    empty = environment_read(prefixed(dict.fromkeys(names, " ")), root=tmp_path)

    assert asdict(empty) == asdict(left_out)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("1", "true", "YES", "on", " True ")),
        *((text, False) for text in ("0", "false", "No", "off")),
    ],
)
def test_a_flag_may_be_written_in_many_ways(tmp_path: Path, text: str, value: bool) -> None:
    environment = environment_read(
        prefixed({"SIGNUP_ENABLED": text, "DATA_DIR": str(tmp_path)}), root=tmp_path
    )

    assert environment.signup_enabled is value


def test_a_limit_of_0_is_none(tmp_path: Path) -> None:
    environment = environment_read(
        prefixed({"DAILY_LIMIT": "0", "DATA_DIR": str(tmp_path)}), root=tmp_path
    )

    assert environment.daily_limit is None


def test_several_nodes_are_taken_apart(tmp_path: Path) -> None:
    environment = environment_read(
        prefixed({"COMFYUI_URL": "http://a:1/, https://b ,"}), root=tmp_path
    )

    assert environment.comfyui_urls == ("http://a:1", "https://b")


@pytest.mark.parametrize("name", ["plain", "with space", "a#b", "a?b", "100%", "a%20b", "zürich"])
def test_the_database_lies_in_the_data_directory_whatever_its_name(
    tmp_path: Path, name: str
) -> None:
    environment = environment_read(prefixed({"DATA_DIR": str(tmp_path / name)}), root=tmp_path)

    config = environ.Env.db_url_config(environment.database_url)
    assert Path(str(config["NAME"])) == tmp_path / name / "llamasketch.sqlite3"


# --- Secrets ---


@pytest.mark.parametrize("name", ["secret_key", "usage_salt"])
def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path, name: str) -> None:
    first = environment_read({}, root=tmp_path)
    again = environment_read({}, root=tmp_path)

    kept = tmp_path / "data" / name
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert getattr(first, name) == getattr(again, name) == kept.read_text()
    assert len(getattr(first, name)) >= 50
    assert first.secret_key != first.usage_salt


def test_a_secret_that_is_given_is_not_kept(tmp_path: Path) -> None:
    environment = environment_read(
        prefixed({"SECRET_KEY": "given", "USAGE_SALT": "given too"}), root=tmp_path
    )

    assert (environment.secret_key, environment.usage_salt) == ("given", "given too")
    assert list((tmp_path / "data").iterdir()) == []


def test_an_empty_secret_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret_key").touch()

    with pytest.raises(SettingError, match="secret_key is empty"):
        environment_read({}, root=tmp_path)


def test_threads_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda _: environment_read({}, root=tmp_path).secret_key, range(64))

    assert len(set(found)) == 1
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"secret_key", "usage_salt"}


READ = """
import sys
from pathlib import Path
from llamasketch.environment import environment_read
sys.stdin.read()
print(environment_read({}, root=Path(sys.argv[1])).secret_key)
"""


def test_two_processes_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda _: python_run("-c", READ, str(tmp_path)), range(2))
        printed = [run.stdout.strip() for run in runs]

    assert printed[0] == printed[1] != ""
