"""Django's settings, made from the environment; see `environment.py` for every variable."""

import os
from pathlib import Path
from typing import Any

import environ

from llamasketch.environment import SettingError, email_settings, environment_read
from llamasketch.logs import logging_config
from llamasketch.process import process_tune
from usage.pool import PooledConnection

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

try:
    PENCIL = environment_read(os.environ, root=BASE_DIR)
    EMAIL = email_settings(PENCIL.email_url) if PENCIL.email_url else {}
except SettingError as error:
    # Not an exception with a stack: whoever starts the server reads one sentence.
    raise SystemExit(f"LlamaSketch cannot start. {error}") from None

process_tune()

SECRET_KEY = PENCIL.secret_key
DEBUG = False
ALLOWED_HOSTS = list(PENCIL.allowed_hosts)
ROOT_URLCONF = "llamasketch.urls"
ASGI_APPLICATION = "llamasketch.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
SITE_NAME = "LlamaSketch"

INSTALLED_APPS = [
    "daphne",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "llamasketch",
    "usage",
    "generation",
    "workers",
    "allauth",
    "allauth.account",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "channels",
    "django_vite",
    "django_structlog",
]

MIDDLEWARE = [
    "llamasketch.proxies.forwarded_headers_middleware",  # before anything reads such a header
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "llamasketch.cookies.CleanSessionCookie",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "llamasketch.pages.site_context",
            ]
        },
    }
]

# --- Data ---
DATA_DIR = PENCIL.data_dir
MEDIA_ROOT = DATA_DIR / "media"
REDIS_URL = PENCIL.redis_url
# SQLite: writers queue at BEGIN instead of failing in the middle; FULL, because an accepted job
# must survive a power cut too.
_SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
# Requests and tasks each run in a thread of their own, so connections come from a pool.
_POSTGRES_OPTIONS = {
    "pool": {
        "min_size": 1,
        "max_size": 20,
        "timeout": 10,
        "connection_class": PooledConnection,
    },
    "connect_timeout": 5,
    # Statements that come again are planned at their first run on each connection and no more: see
    # `usage/statements.py`. With 2, a fresh server's first thirty jobs were measured to take 46 ms
    # over their node's time, and those after sixty 35; with 0, from 36 to 42, the first ones too.
    "prepare_threshold": 0,
}
# Counts of callers: a request that is already accepted does not wait long for them, and the last
# ones may be lost in a power cut.
_USAGE_SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 2,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
_USAGE_POSTGRES_OPTIONS = {
    "pool": {"min_size": 0, "max_size": 5, "timeout": 2},
    "connect_timeout": 2,
}
DATABASES = {
    "default": environ.Env.db_url_config(PENCIL.database_url),
    "usage": environ.Env.db_url_config(PENCIL.usage_db_url),
}
for _alias, _sqlite_options, _postgres_options, _tests_file in (
    ("default", _SQLITE_OPTIONS, _POSTGRES_OPTIONS, "tests.sqlite3"),
    ("usage", _USAGE_SQLITE_OPTIONS, _USAGE_POSTGRES_OPTIONS, "tests-usage.sqlite3"),
):
    _database = DATABASES[_alias]
    # A connection of the pool may have died with a server that is back by now.
    _database["CONN_HEALTH_CHECKS"] = True
    _is_sqlite = _database["ENGINE"] == "django.db.backends.sqlite3"
    _database["OPTIONS"] = {
        **_database.get("OPTIONS", {}),
        **(_sqlite_options if _is_sqlite else _postgres_options),
    }
    if _is_sqlite:
        # Tests use a file too: several threads cannot write a database in memory.
        _database["TEST"] = {"NAME": DATA_DIR / _tests_file}
DATABASE_ROUTERS = ["usage.routers.UsageRouter"]

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CHANNEL_LAYERS = {
    "default": {
        # Events are rows; the layer only says that there is one. Nothing is kept in Redis for a
        # browser that is not there.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "llamasketch"},
    }
}

# --- Celery ---
CELERY_BROKER_URL = REDIS_URL
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_ROUTES = {
    "workers.run": {"queue": "generation"},
    "workers.adopt": {"queue": "generation"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Without these a worker never came back from a frozen connection.
    "socket_timeout": 15,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 15,
    "visibility_timeout": 3600,
}
# A beat that nobody can switch off by hand: the promise rests on these.
CELERY_BEAT_SCHEDULE = {
    "wake-waiting": {
        "task": "generation.wake_waiting",
        "schedule": 2.0,
        "options": {"expires": 10},
    },
    "reconcile": {"task": "workers.reconcile", "schedule": 5.0, "options": {"expires": 10}},
    "probe-nodes": {"task": "workers.probe_nodes", "schedule": 5.0, "options": {"expires": 10}},
    "sweep": {"task": "generation.sweep", "schedule": 3600.0, "options": {"expires": 600}},
}

# --- People ---
AUTH_USER_MODEL = "usage.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/app"
ACCOUNT_ADAPTER = "usage.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if PENCIL.is_production else "http"
# An address can only be proved by a server that can send mail.
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if PENCIL.email_url else "none"
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
SIGNUP_ENABLED = PENCIL.signup_enabled
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PENCIL.is_production
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS] if PENCIL.is_production else []

# --- Mail: sent where PENCIL_EMAIL_URL says, otherwise kept as files for the operator to read ---
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = DATA_DIR / "outbox"
DEFAULT_FROM_EMAIL = os.environ.get("PENCIL_FROM_EMAIL", "LlamaSketch <studio@localhost>")
EMAIL_TIMEOUT = 10
globals().update(EMAIL)

# --- API ---
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "usage.api.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["usage.api.parsers.LenientJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "usage.api.negotiation.AlwaysTheSame",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "llamasketch.errors.exception_handler",
    "COERCE_DECIMAL_TO_STRING": False,
}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": None, "TOKEN_LIMIT_PER_USER": None}
SPECTACULAR_SETTINGS = {
    "TITLE": "LlamaSketch",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}

# --- Pages ---
STATIC_URL = "/static/"
# Production serves what collectstatic gathered; a local start serves files where they are.
STATIC_ROOT = BASE_DIR / "staticfiles" if PENCIL.is_production else None
FRONTEND_DIST = BASE_DIR / "frontend" / "dist"
STATICFILES_DIRS = [FRONTEND_DIST] if FRONTEND_DIST.is_dir() else []
WHITENOISE_USE_FINDERS = not PENCIL.is_production
DJANGO_VITE = {
    "default": {
        "dev_mode": PENCIL.vite_dev,
        "manifest_path": FRONTEND_DIST / ".vite" / "manifest.json",
        "static_url_prefix": "",
    }
}

# --- What a browser may do with our pages ---
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    # The admin's theme needs inline styles and evaluated expressions.
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        # The hash is that of the one inline style of the 400 and 500 pages, which must stand when
        # nothing else does; see templates/partials/bare_style.html.
        "style-src": ["'self'", "'sha256-CtYApafvwys8c2hvIv4g5t1zyAjxzSrmQOLFm1a6B1Q='"],
        "script-src": ["'self'"],
        "connect-src": ["'self'", "ws:", "wss:"] if not PENCIL.is_production else ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
if PENCIL.vite_dev:
    # Vite's own server, which puts styles into the page as it changes them.
    _vite = "http://localhost:5173"
    for _kind, _sources in {
        "script-src": [_vite],
        "style-src": [_vite, "'unsafe-inline'"],
        "connect-src": [_vite, "ws://localhost:5173"],
        "img-src": [_vite],
        "font-src": [_vite],
    }.items():
        _directives = CONTENT_SECURITY_POLICY["DIRECTIVES"]
        # A hash would switch 'unsafe-inline' off.
        _kept = [source for source in _directives[_kind] if not source.startswith("'sha256")]
        _directives[_kind] = [*_kept, *_sources]
PERMISSIONS_POLICY: dict[str, list[str]] = {
    "camera": [],
    "geolocation": [],
    "microphone": [],
    "payment": [],
    "usb": [],
}
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if PENCIL.is_production:
    SECURE_HSTS_SECONDS = 31536000
    # Only a trusted proxy's header gets this far: see `llamasketch/proxies.py`.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# A sketch travels as base64 in JSON: four bytes for three, and room for the rest.
DATA_UPLOAD_MAX_MEMORY_SIZE = 13 * 1024 * 1024

LOGGING = logging_config(is_production=PENCIL.is_production)
# The address of a caller is kept nowhere, logs included.
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False

UNFOLD = {"SITE_TITLE": "LlamaSketch", "SITE_HEADER": "LlamaSketch", "SITE_URL": "/app"}

if PENCIL.sentry_dsn:
    import sentry_sdk

    sentry_sdk.init(
        dsn=PENCIL.sentry_dsn,
        release=VERSION,
        # No addresses, prompts or pixels: they stand in variables and bodies too.
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
    )
