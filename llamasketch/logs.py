"""Logs: events with fields on standard error; never prompts, tokens, addresses or pixels."""

import logging
import re
from typing import Any

import structlog

_CLIENT = re.compile(r"client=(\[[^\]]*\]|None)")


class WithoutClient(logging.Filter):
    """Takes the caller's address out of what Daphne says of a socket that does not close.

    Its warning holds the `repr` of its protocol object, `<WebSocketProtocol client=['…', …] …>`
    (daphne 4.2.3, `Server.application_checker`). Remove it when that names no client any more.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, changed."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                _CLIENT.sub("client=…", value) if isinstance(value, str) else value
                for value in record.args
            )
        return True


def logging_config(*, is_production: bool) -> dict[str, Any]:
    """Configure structlog and return Django's LOGGING: JSON lines in production, text locally."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if is_production
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "events": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processor": renderer,
                # As text here, or the renderer shows each frame's variables, the request's too.
                "foreign_pre_chain": [*shared, structlog.processors.format_exc_info],
            }
        },
        "filters": {"without_client": {"()": WithoutClient}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "events",
                "filters": ["without_client"],
            }
        },
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            "django.request": {"level": "ERROR"},
            "django_structlog": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "daphne": {"level": "WARNING"},
        },
    }
