"""The environment: every `PENCIL_` variable, read once and checked before anything starts."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

import environ

PREFIX = "PENCIL_"
PRODUCTION_MUST_HAVE = ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "EMAIL_URL", "USAGE_SALT")
_DATABASE_SCHEMES = ("sqlite", "postgres", "postgresql", "psql", "pgsql")


class SettingError(Exception):
    """A variable is missing or wrong; the message is one sentence that names it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the operator decided, as checked values."""

    mode: Literal["local", "production"]
    data_dir: Path
    port: int
    secret_key: str
    allowed_hosts: tuple[str, ...]
    database_url: str
    usage_db_url: str
    usage_salt: str
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    redis_url: str
    comfyui_urls: tuple[str, ...]
    is_simulated: bool
    signup_enabled: bool
    daily_limit: int | None
    queue_limit: int
    in_flight_limit: int
    stall_timeout_s: float
    run_timeout_s: float
    queue_timeout_s: float
    email_url: str | None
    sentry_dsn: str | None
    vite_dev: bool

    @property
    def is_production(self) -> bool:
        """Whether strangers may reach this server."""
        return self.mode == "production"


def environment_read(variables: Mapping[str, str], *, root: Path) -> Environment:
    """Check all variables and fill in what a local start may leave out.

    A local start without `PENCIL_SECRET_KEY` or `PENCIL_USAGE_SALT` makes one and keeps it,
    readable by its owner alone, in the data directory.

    Raises:
        SettingError: the first variable that is missing or wrong.
    """
    reader = _Reader(variables)
    mode = reader.choice("ENVIRONMENT", ("local", "production"), default="local")
    if mode == "production":
        for name in PRODUCTION_MUST_HAVE:
            reader.required(name)
    try:
        data_dir = Path(reader.text("DATA_DIR", default=str(root / "data"))).expanduser().resolve()
    except RuntimeError as error:
        raise SettingError("PENCIL_DATA_DIR begins with ~ and a user whom there is not.") from error
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"PENCIL_DATA_DIR: {data_dir} cannot be made ({error.strerror}); name a folder "
            "that this user may write."
        ) from error
    dsn = reader.text("SENTRY_DSN")
    daily_limit = reader.whole("DAILY_LIMIT", default=1000, least=0)
    database_url = reader.address(
        "DATABASE_URL",
        schemes=_DATABASE_SCHEMES,
        default=_sqlite_url(data_dir / "llamasketch.sqlite3"),
    )
    usage_db_url = reader.database_or_file("USAGE_DB", default=data_dir / "usage.db")
    if _database_named(usage_db_url) == _database_named(database_url):
        raise SettingError(
            f"{PREFIX}USAGE_DB names the database of {PREFIX}DATABASE_URL; counts of callers are "
            "kept apart from people, so give them a database of their own."
        )
    return Environment(
        mode="production" if mode == "production" else "local",
        data_dir=data_dir,
        port=reader.whole("PORT", default=8100, least=1, most=65535),
        secret_key=reader.text("SECRET_KEY") or _kept_secret(data_dir / "secret_key"),
        allowed_hosts=reader.several("ALLOWED_HOSTS", default="127.0.0.1,localhost,[::1]"),
        database_url=database_url,
        usage_db_url=usage_db_url,
        usage_salt=reader.text("USAGE_SALT") or _kept_secret(data_dir / "usage_salt"),
        trusted_proxies=reader.networks("TRUSTED_PROXIES"),
        redis_url=reader.address(
            "REDIS_URL",
            schemes=("redis", "rediss", "unix"),
            default="redis://127.0.0.1:6379/0",
        ),
        comfyui_urls=tuple(
            reader.web_address("COMFYUI_URL", url)
            for url in reader.several("COMFYUI_URL", default="http://127.0.0.1:18188")
        ),
        is_simulated=reader.flag("COMFYUI_SIMULATED", default=False),
        signup_enabled=reader.flag("SIGNUP_ENABLED", default=mode == "local"),
        daily_limit=daily_limit or None,
        queue_limit=reader.whole("QUEUE_LIMIT", default=256, least=1),
        in_flight_limit=reader.whole("IN_FLIGHT_LIMIT", default=4, least=1),
        stall_timeout_s=reader.seconds("STALL_TIMEOUT_S", default=120.0),
        run_timeout_s=reader.seconds("RUN_TIMEOUT_S", default=900.0),
        queue_timeout_s=reader.seconds("QUEUE_TIMEOUT_S", default=3600.0),
        email_url=reader.text("EMAIL_URL") or None,
        sentry_dsn=reader.web_address("SENTRY_DSN", dsn) if dsn else None,
        vite_dev=reader.flag("VITE_DEV", default=False),
    )


def email_settings(url: str) -> dict[str, object]:
    """Django's mail settings for `PENCIL_EMAIL_URL`.

    Raises:
        SettingError: the scheme is not one that can send mail.
    """
    try:
        return dict(environ.Env.email_url_config(url))
    except (KeyError, ValueError, environ.ImproperlyConfigured) as error:
        raise SettingError(
            "PENCIL_EMAIL_URL is not a mail address such as "
            "smtp+tls://user:password@mail.example.com:587."
        ) from error


class _Reader:
    """One way to ask for each kind of value, with one sentence when it is wrong."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str = "") -> str:
        return self._variables.get(PREFIX + name, "").strip() or default

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise SettingError(f"{PREFIX}{name} is not set; production does not start without it.")
        return value

    def several(self, name: str, default: str) -> tuple[str, ...]:
        values = tuple(part.strip() for part in self.text(name, default).split(",") if part.strip())
        if not values:
            raise SettingError(
                f"{PREFIX}{name} names nothing; give one value or several, with commas."
            )
        return values

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise SettingError(
                f"{PREFIX}{name} is {value!r}; it must be one of {', '.join(allowed)}."
            )
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.text(name, "true" if default else "false").lower()
        if value in {"1", "true", "yes", "on"}:
            return True
        if value in {"0", "false", "no", "off"}:
            return False
        raise SettingError(f"{PREFIX}{name} is {value!r}; it must be true or false.")

    def whole(self, name: str, *, default: int, least: int, most: int | None = None) -> int:
        value = self.text(name, str(default))
        span = f"{least} or more" if most is None else f"from {least} to {most}"
        try:
            number = int(value)
        except ValueError as error:
            raise SettingError(
                f"{PREFIX}{name} is {value!r}; it must be a whole number, {span}."
            ) from error
        if number < least or (most is not None and number > most):
            raise SettingError(f"{PREFIX}{name} is {number}; it must be {span}.")
        return number

    def seconds(self, name: str, *, default: float) -> float:
        value = self.text(name, str(default))
        try:
            number = float(value)
        except ValueError as error:
            raise SettingError(
                f"{PREFIX}{name} is {value!r}; it must be a number of seconds."
            ) from error
        if not 0 < number < 86400:
            raise SettingError(
                f"{PREFIX}{name} is {value}; it must be between 0 and 86400 seconds."
            )
        return number

    def address(self, name: str, *, schemes: tuple[str, ...], default: str) -> str:
        value = self.text(name, default)
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 - it is read only now, and raises
        except ValueError:
            # Without the value: it may hold a password.
            raise SettingError(
                f"{PREFIX}{name} is not an address; its host or its port cannot be read."
            ) from None
        if parts.scheme not in schemes:
            raise SettingError(
                f"{PREFIX}{name} must start with {' or '.join(s + '://' for s in schemes)}."
            )
        return value

    def database_or_file(self, name: str, *, default: Path) -> str:
        """The URL of a database; a value that is not a URL is the path of a SQLite file."""
        value = self.text(name, str(default))
        if "://" in value:
            return self.address(name, schemes=_DATABASE_SCHEMES, default="")
        path = Path(value).expanduser().resolve()
        if path.is_dir() or not path.parent.is_dir():
            raise SettingError(
                f"{PREFIX}{name}: {path} is not a file in a folder that exists; name one, or a "
                "database such as postgres://user:password@host/usage."
            )
        return _sqlite_url(path)

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        networks = []
        for value in self.text(name).split(","):
            if not value.strip():
                continue
            try:
                networks.append(ip_network(value.strip()))
            except ValueError as error:
                raise SettingError(
                    f"{PREFIX}{name}: {value.strip()!r} is neither an IP address nor a network "
                    "such as 10.0.0.0/8."
                ) from error
        return tuple(networks)

    def web_address(self, name: str, value: str) -> str:
        try:
            parts = urlsplit(value)
            is_good = (
                parts.scheme in {"http", "https"}
                and bool(parts.hostname)
                and parts.port != 0
                and not any(char.isspace() for char in value)
            )
        except ValueError:
            is_good = False
        if not is_good:
            raise SettingError(
                f"{PREFIX}{name}: {value!r} is not an address such as http://127.0.0.1:18188."
            )
        return value.rstrip("/")


def _sqlite_url(path: Path) -> str:
    return f"sqlite:///{quote(str(path))}"


def _database_named(url: str) -> tuple[str, ...]:
    """Which database a URL means, however it is written: the file, or server and name."""
    config = environ.Env.db_url_config(url)
    name = str(config.get("NAME") or "")
    if str(config["ENGINE"]).endswith("sqlite3"):
        return (str(Path(name).resolve()),)
    return (str(config["HOST"]).lower(), str(config["PORT"] or 5432), name)


def _kept_secret(path: Path) -> str:
    """Read the secret at `path`, or make one that only this user can read.

    Two processes may start at once: the first to link its file wins, the other reads that one.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)  # readable by this user alone
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48))
            with suppress(FileExistsError):
                path.hardlink_to(temporary)
        finally:
            Path(temporary).unlink()
    except OSError as error:
        raise SettingError(
            f"PENCIL_DATA_DIR: {path.parent} cannot be written ({error.strerror}); name a folder "
            "that this user may write."
        ) from error
    value = path.read_text().strip()
    if not value:
        raise SettingError(f"{path} is empty; delete it so that it is made again.")
    return value
