"""The variables by which callers are counted: their defaults, and what stops the start."""

from __future__ import annotations

import stat
from ipaddress import ip_network
from pathlib import Path

import pytest

from llamasketch.environment import Environment, SettingError, environment_read

PRODUCTION = {
    "PENCIL_ENVIRONMENT": "production",
    "PENCIL_SECRET_KEY": "a secret",
    "PENCIL_ALLOWED_HOSTS": "sketch.example",
    "PENCIL_DATABASE_URL": "postgres://user:password@db.example/llamasketch",
    "PENCIL_EMAIL_URL": "smtp://mail.example:25",
    "PENCIL_USAGE_SALT": "a salt",
}


def read(folder: Path, **variables: str) -> Environment:
    """The environment with a data directory and these variables."""
    given = {f"PENCIL_{name}": value for name, value in variables.items()}
    return environment_read({"PENCIL_DATA_DIR": str(folder), **given}, root=folder)


def refusal(folder: Path, **variables: str) -> str:
    """Why the start is stopped."""
    with pytest.raises(SettingError) as error:
        read(folder, **variables)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_a_salt_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, again = read(tmp_path), read(tmp_path)

    assert len(first.usage_salt) >= 48
    assert first.usage_salt == again.usage_salt != first.secret_key
    assert stat.S_IMODE((tmp_path / "usage_salt").stat().st_mode) == 0o600


@pytest.mark.parametrize("salt", [None, "", "  "], ids=["missing", "empty", "blank"])
def test_production_does_not_start_without_a_salt(tmp_path: Path, salt: str | None) -> None:
    variables = {**PRODUCTION, "PENCIL_DATA_DIR": str(tmp_path)}
    del variables["PENCIL_USAGE_SALT"]
    if salt is not None:
        variables["PENCIL_USAGE_SALT"] = salt

    with pytest.raises(SettingError, match=r"^PENCIL_USAGE_SALT is not set"):
        environment_read(variables, root=tmp_path)


def test_production_with_a_salt_makes_none(tmp_path: Path) -> None:
    environment = environment_read({**PRODUCTION, "PENCIL_DATA_DIR": str(tmp_path)}, root=tmp_path)

    assert environment.usage_salt == "a salt"
    assert not (tmp_path / "usage_salt").exists()


def test_counts_are_a_file_in_the_data_directory(tmp_path: Path) -> None:
    assert read(tmp_path).usage_db_url == f"sqlite:///{tmp_path}/usage.db"


@pytest.mark.parametrize(
    "url", ["postgres://user:password@db.example/usage", "sqlite:////srv/usage.db"]
)
def test_counts_may_be_in_another_database(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, USAGE_DB=url).usage_db_url == url


def test_counts_may_be_in_a_file_that_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a name+with #signs.db"

    assert read(tmp_path, USAGE_DB=str(path)).usage_db_url.endswith(
        "/a%20name%2Bwith%20%23signs.db"
    )


@pytest.mark.parametrize(
    ("database", "counts"),
    [
        ("postgres://a:b@db.example/one", "postgresql://c:d@DB.example:5432/one"),
        ("sqlite:////srv/one.sqlite3", "/srv/one.sqlite3"),
        ("sqlite:////srv/one.sqlite3", "sqlite:////srv/./one.sqlite3"),
    ],
    ids=["PostgreSQL", "a path", "a URL"],
)
def test_counts_are_not_in_the_database_of_the_accounts(
    tmp_path: Path, database: str, counts: str
) -> None:
    sentence = refusal(tmp_path, DATABASE_URL=database, USAGE_DB=counts)

    assert sentence.startswith("PENCIL_USAGE_DB names the database of PENCIL_DATABASE_URL")


@pytest.mark.parametrize(
    "value", ["mysql://host/usage", "/there/is/no/such/folder/usage.db", "/"], ids=str
)
def test_a_wrong_database_of_counts_stops_the_start(tmp_path: Path, value: str) -> None:
    assert refusal(tmp_path, USAGE_DB=value).startswith("PENCIL_USAGE_DB")


def test_no_proxy_is_trusted_unless_it_is_named(tmp_path: Path) -> None:
    assert read(tmp_path).trusted_proxies == ()
    assert read(tmp_path, TRUSTED_PROXIES=" , ").trusted_proxies == ()


def test_proxies_are_addresses_and_networks(tmp_path: Path) -> None:
    proxies = read(tmp_path, TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8,fd00::/8").trusted_proxies

    assert proxies == tuple(map(ip_network, ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8")))


@pytest.mark.parametrize("value", ["nginx", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1;::1"], ids=str)
def test_a_wrong_proxy_stops_the_start(tmp_path: Path, value: str) -> None:
    assert refusal(tmp_path, TRUSTED_PROXIES=f"127.0.0.1,{value}").startswith(
        f"PENCIL_TRUSTED_PROXIES: '{value}' is neither an IP address nor a network"
    )
