"""Every setting of the studio, read from the environment; the table at the top is the whole list."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import salted_hmac

BASE_DIR = Path(__file__).resolve().parent.parent

# name → (default, what it is for). `studio settings` prints this table with the values in force.
ENVIRONMENT = {
    "STUDIO_HOME": (str(BASE_DIR / ".studio"), "the folder that holds all state"),
    "DATABASE_URL": ("", "sqlite:///path or postgres://…; SQLite in STUDIO_HOME when empty"),
    "CELERY_BROKER_URL": ("", "redis://… or amqp://…; files in STUDIO_HOME when empty"),
    "STUDIO_STORE": ("", "fsspec URL of the artifact store (s3://bucket/prefix); STUDIO_HOME when empty"),
    "STUDIO_SECRET_KEY": ("", "signs cookies and tokens; made once in STUDIO_HOME when empty"),
    "STUDIO_HOSTS": ("localhost,127.0.0.1,[::1]", "host names the web process answers to, comma-separated"),
    "STUDIO_ORIGINS": ("", "https origins forms are trusted from, behind a proxy, comma-separated"),
    "STUDIO_HTTPS": ("0", "1: cookies only over https, HSTS, trust X-Forwarded-Proto"),
    "STUDIO_DEBUG": ("0", "1: Django's error pages; never on a shared machine"),
    "STUDIO_PORT": ("8000", "where `studio up` serves the pages"),
    "STUDIO_MODEL_SERVER_URL": ("http://127.0.0.1:8010", "where the model server listens"),
    "STUDIO_SERVER_TOKEN": ("", "bearer token of the model server; derived from the secret key when empty"),
    "STUDIO_DEVICE": ("auto", "device trainings run on: auto, cpu, cuda"),
    "STUDIO_TRAIN_QUEUE": ("train", "queue a trainer listens to; name one per kind of device"),
    "STUDIO_LEASE_MINUTES": ("30", "how long a prompt stays reserved without a sign of life"),
    "STUDIO_UPLOAD_MB": ("2048", "largest file accepted for import"),
    "STUDIO_PRIVATE_ENDPOINTS": ("0", "1: model endpoints may live on private addresses (vLLM in your network)"),
    "STUDIO_SMTP_URL": ("", "smtp://user:password@host:587 for password mails; none are sent when empty"),
}


def env(name: str) -> str:
    return os.environ.get(name, "") or ENVIRONMENT[name][0]


def env_list(name: str) -> list[str]:
    return [item.strip() for item in env(name).split(",") if item.strip()]


HOME = Path(env("STUDIO_HOME")).expanduser().resolve()
try:
    HOME.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(f"STUDIO_HOME={HOME} cannot be made: {error}. Point it at a folder you own.") from error


def make_once(file: Path, text: str) -> None:
    """Of several processes that start at once the first writes the file, and none ever reads half of it."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".secret") as whole:  # its owner's alone: mode 600
        whole.write(text)
        whole.flush()
        with suppress(FileExistsError):
            os.link(whole.name, file)


def secret_key() -> str:
    """The key from the environment, else one made once and kept readable by its owner alone."""
    key, file = env("STUDIO_SECRET_KEY"), HOME / "secret_key"
    if not key and not file.exists():
        try:
            make_once(file, secrets.token_urlsafe(50))
        except OSError as error:
            raise ImproperlyConfigured(f"No STUDIO_SECRET_KEY, and {file} cannot be written: {error}") from error
    key = key or file.read_text()
    if len(key) < 32:
        raise ImproperlyConfigured("The secret key is shorter than 32 characters; set STUDIO_SECRET_KEY.")
    return key


SECRET_KEY = secret_key()
DEBUG = env("STUDIO_DEBUG") == "1"
HTTPS = env("STUDIO_HTTPS") == "1"
ALLOWED_HOSTS = env_list("STUDIO_HOSTS")
CSRF_TRUSTED_ORIGINS = env_list("STUDIO_ORIGINS")

INSTALLED_APPS = [
    "studio",
    "annotation",
    "training",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "django_htmx",
    "template_partials.apps.SimpleAppConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "studio.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "studio.middleware.login_required",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "studio.middleware.MissingArtifact",
]

ROOT_URLCONF = "studio.urls"
ASGI_APPLICATION = "studio.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "studio.context.chrome",
            ],
            "builtins": ["template_partials.templatetags.partials", "annotation.templatetags.text"],
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
        },
    }
]

DATABASES = {"default": dj_database_url.parse(env("DATABASE_URL") or f"sqlite:///{HOME / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["CONN_MAX_AGE"] = None
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;"
        "PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=27103364;",
    }
else:  # a pool, shared by the threads of a process; it finds out soon that the database is away, and that it is back
    pool = {"min_size": 2, "max_size": 20, "timeout": 5, "reconnect_timeout": 5}
    # No just-in-time compiling: it costs half a second on statements that then take half a millisecond.
    DATABASES["default"]["OPTIONS"] = {"pool": pool, "options": "-c jit=off"}
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # a restarted server leaves dead connections in the pool
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "studio.User"
AUTHENTICATION_BACKENDS = ["studio.accounts.Backend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
ACCOUNT_ADAPTER = "studio.accounts.ClosedSignup"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
if env("STUDIO_SMTP_URL"):
    smtp = dj_database_url.urlparse.urlparse(env("STUDIO_SMTP_URL"))
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST, EMAIL_PORT, EMAIL_USE_TLS = smtp.hostname, smtp.port or 587, smtp.scheme != "smtp+plain"
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = smtp.username or "", smtp.password or ""

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS: list = []
# Front-end packages as npm laid them out; only what pages load is exposed.
NPM = BASE_DIR / "node_modules"
STATICFILES_DIRS += [
    (f"npm/{name}", folder)
    for name, folder in {
        "htmx": NPM / "htmx.org" / "dist",
        "katex": NPM / "katex" / "dist",
        "sortable": NPM / "sortablejs",
        "uplot": NPM / "uplot" / "dist",
    }.items()
    if folder.exists()
]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

SESSION_ENGINE = "studio.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31536000

DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # a trace of hundreds of steps is one form, several fields a step
FILE_UPLOAD_HANDLERS = ["annotation.importing.uploads.LimitedUpload"]
FILE_UPLOAD_TEMP_DIR = HOME / "uploads"
FILE_UPLOAD_TEMP_DIR.mkdir(exist_ok=True)
ANSWER_CHECK = "training.verifiers.math"  # (solution, reference) → right or wrong; None where it cannot tell
UPLOAD_BYTES = int(env("STUDIO_UPLOAD_MB")) * 1024 * 1024

LEASE_MINUTES = int(env("STUDIO_LEASE_MINUTES"))
STORE_URL = env("STUDIO_STORE")
PORT = int(env("STUDIO_PORT"))
MODEL_SERVER_URL = env("STUDIO_MODEL_SERVER_URL").rstrip("/")
SERVER_TOKEN = env("STUDIO_SERVER_TOKEN") or salted_hmac("model server", "token", secret=SECRET_KEY).hexdigest()
PRIVATE_ENDPOINTS = env("STUDIO_PRIVATE_ENDPOINTS") == "1"
DEVICE = env("STUDIO_DEVICE")
TRAIN_QUEUE = env("STUDIO_TRAIN_QUEUE")

CELERY_BROKER_URL = env("CELERY_BROKER_URL") or "filesystem://"
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"training.tasks.train": {"queue": "train"}}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 12 * 3600, "socket_connect_timeout": 5}
if CELERY_BROKER_URL == "filesystem://":
    for folder in ("queue", "control"):
        (HOME / "broker" / folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(HOME / "broker" / "queue"),
        "data_folder_out": str(HOME / "broker" / "queue"),
        "control_folder": str(HOME / "broker" / "control"),
        "polling_interval": 0.2,
    }

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname:.1} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "kombu.connection": {"level": "ERROR"},  # warns of every filesystem broker that it has no host
        "httpx": {"level": "WARNING"},
    },
}
