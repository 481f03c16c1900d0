"""The environment: every `PENCIL_` variable, read once and checked before anything starts."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import environ

PREFIX = "PENCIL_"
PRODUCTION_MUST_HAVE = ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "EMAIL_URL")


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
    redis_url: str
    comfyui_urls: tuple[str, ...]
    is_simulated: bool
    signup_enabled: bool
    daily_limit: int | None
    queue_limit: int
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

    A local start without `PENCIL_SECRET_KEY` makes one and keeps it, readable by its owner
    alone, in the data directory.

    Raises:
        SettingError: the first variable that is missing or wrong.
    """
    reader = _Reader(variables)
    mode = reader.choice("ENVIRONMENT", ("local", "production"), default="local")
    if mode == "production":
        for name in PRODUCTION_MUST_HAVE:
            reader.required(name)
    data_dir = Path(reader.text("DATA_DIR", default=str(root / "data"))).expanduser().resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"PENCIL_DATA_DIR: {data_dir} cannot be made ({error.strerror}); name a folder "
            "that this user may write."
        ) from error
    daily_limit = reader.whole("DAILY_LIMIT", default=1000, least=0)
    return Environment(
        mode="production" if mode == "production" else "local",
        data_dir=data_dir,
        port=reader.whole("PORT", default=8100, least=1, most=65535),
        secret_key=reader.text("SECRET_KEY") or _kept_secret(data_dir / "secret_key"),
        allowed_hosts=reader.several("ALLOWED_HOSTS", default="127.0.0.1,localhost,[::1]"),
        database_url=reader.address(
            "DATABASE_URL",
            schemes=("sqlite", "postgres", "postgresql", "psql", "pgsql"),
            default=f"sqlite:///{data_dir / 'llamasketch.sqlite3'}",
        ),
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
        stall_timeout_s=reader.seconds("STALL_TIMEOUT_S", default=120.0),
        run_timeout_s=reader.seconds("RUN_TIMEOUT_S", default=900.0),
        queue_timeout_s=reader.seconds("QUEUE_TIMEOUT_S", default=3600.0),
        email_url=reader.text("EMAIL_URL") or None,
        sentry_dsn=reader.text("SENTRY_DSN") or None,
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
        if urlsplit(value).scheme not in schemes:
            raise SettingError(
                f"{PREFIX}{name} must start with {' or '.join(s + '://' for s in schemes)}."
            )
        return value

    def web_address(self, name: str, value: str) -> str:
        try:
            parts = urlsplit(value)
            is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_good = False
        if not is_good:
            raise SettingError(
                f"{PREFIX}{name}: {value!r} is not an address such as http://127.0.0.1:18188."
            )
        return value.rstrip("/")


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
