"""Everything that can be configured, read once from the environment and `.env`, then frozen.

Each field is an environment variable of the same name in capitals; `.env.example` explains every one.
"""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv.parser import parse_stream
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SIMULATOR_APPID = "wxdesk0000000001"
SIMULATOR_SECRET = "desk-simulator-only"  # opens nothing but our own simulator, on loopback
SIMULATOR_OFFICIAL_APPID = "wxdesk0000000002"


class SettingsError(Exception):
    """A setting is malformed or unknown; the text is a line per fault, for the person who starts us."""


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("应为 http:// 或 https:// 开头的完整地址")
    return value


def _database_url(value: str) -> str:
    """Refused here: SQLAlchemy would refuse it late, and repeat the password."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        driver = make_url(value).drivername if value else ""
    except (ArgumentError, ValueError):
        driver = "?"
    if driver not in ("", "sqlite", "postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql"):
        raise ValueError("应以 sqlite:///、postgresql+psycopg:// 或 mysql+pymysql:// 开头，端口是数字")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
AesKey = Annotated[str, Field(pattern=r"^([A-Za-z0-9+/]{43})?$")]


class Settings(BaseSettings):
    """Frozen; build it by `Settings.load()`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="forbid",
        allow_inf_nan=False,
        frozen=True,
        protected_namespaces=(),
    )

    # Where we listen
    host: str = ""
    port: Port = 8000
    console_host: str = "127.0.0.1"
    console_port: Port = 7860
    simulator_port: Port = 8001
    workers: Count = 0
    trusted_proxies: Count = 0
    metrics_token: str = ""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("*",)
    shutdown_seconds: Annotated[float, Field(ge=1)] = 30

    # Storage
    database_url: Annotated[str, AfterValidator(_database_url)] = ""
    mysql_address: str = ""
    mysql_username: str = ""
    mysql_password: str = ""
    mysql_database: str = "chat"

    # The model
    model_api_url: Annotated[tuple[HttpUrl, ...], NoDecode] = ()
    model_api_key: str = ""
    model_name: str = "cogito-v1-preview-llama-3b"
    model_path: Path | None = None
    model_context_tokens: Annotated[int, Field(ge=256)] = 8192
    model_first_token_seconds: Seconds = 30
    model_idle_seconds: Seconds = 30
    model_total_seconds: Seconds = 300
    model_max_concurrent: Count = 0
    model_max_wait_seconds: Seconds = 120
    stream_pace_ms: Annotated[int, Field(ge=0, le=5000)] = 100

    # Speech to text
    asr_api_url: HttpUrl = ""
    asr_api_key: str = ""
    asr_model: str = ""

    # What a question and an answer may be
    max_history_turns: Annotated[int, Field(ge=0, le=100)] = 5
    max_tokens: Annotated[int, Field(ge=1)] = 500
    max_tokens_limit: Annotated[int, Field(ge=1)] = 2000
    max_question_chars: Annotated[int, Field(ge=1)] = 2000
    min_reply_chars: Count = 5
    user_per_minute: Count = 20
    user_per_day: Count = 200
    timezone: str = "Asia/Shanghai"

    # Who may ask
    session_days: Annotated[float, Field(gt=0)] = 7
    login_per_minute: Count = 20
    max_streams_per_user: Annotated[int, Field(ge=1)] = 10
    chat_login: bool = True

    # WeChat
    miniprogram_appid: str = ""
    miniprogram_secret: str = ""
    wechat_api_url: HttpUrl = "https://api.weixin.qq.com"
    wechat_msg_sec_check: Literal["off", "open", "closed"] = "off"

    # The official account
    wechat_appid: str = ""
    wechat_secret: str = ""
    wechat_token: Annotated[str, Field(pattern=r"^[!-~]{0,64}$")] = ""
    wechat_aes_key: AesKey = ""
    wechat_aes_key_previous: AesKey = ""
    wechat_mode: Literal["", "plain", "compatible", "safe"] = ""
    wechat_customer_service: bool = False
    wechat_reply_seconds: Annotated[float, Field(gt=0, lt=5)] = 4.5
    wechat_deliveries: Annotated[int, Field(ge=1, le=10)] = 3
    wechat_max_age_seconds: Seconds = 600
    wechat_text_bytes: Annotated[int, Field(ge=600, le=2048)] = 2000
    wechat_silent_per_5_min: Count = 20
    wechat_cloud: bool = False
    human_contact: str = ""
    conversation_idle_hours: Annotated[float, Field(gt=0)] = 12

    # What people see, and what we log
    brand_name: str = "AI 助手"
    brand_color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#0a7d43"
    brand_logo: Path | None = None
    ai_label: Annotated[str, Field(min_length=1)] = "内容由 AI 生成"
    privacy_contact: str = ""
    filing_text: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"

    # Running it
    retention_days: Count = 200
    alert_webhook_url: HttpUrl = ""
    modelscope_endpoint: HttpUrl = "https://modelscope.cn"
    hf_endpoint: HttpUrl = "https://huggingface.co"

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment and `.env`; raise `SettingsError` with a line per fault."""
        try:
            if faults := _unreadable_lines(overrides.get("_env_file", cls.model_config["env_file"])):
                raise SettingsError("\n".join(faults))
            return cls(**overrides)
        except UnicodeDecodeError:
            raise SettingsError(".env 不是 UTF-8 编码，请用编辑器另存为 UTF-8") from None
        except ValidationError as exc:
            raise SettingsError("\n".join(_explain(error) for error in exc.errors())) from None

    @field_validator("cors_origins", "model_api_url", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("没有这个时区，写法如 Asia/Shanghai") from None
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_tokens > self.max_tokens_limit:
            raise ValueError("MAX_TOKENS 不能大于 MAX_TOKENS_LIMIT")
        if self.brand_logo is not None and not self.brand_logo.is_file():
            raise ValueError(f"BRAND_LOGO={self.brand_logo}：没有这个文件")
        if self.wechat_mode in ("compatible", "safe") and not self.wechat_aes_key:
            raise ValueError("WECHAT_MODE 为 compatible 或 safe 时必须配置 WECHAT_AES_KEY")
        return self

    @property
    def doubts(self) -> list[str]:
        """What is well formed and probably not meant, a line each."""
        paths = [urlsplit(url).path for url in self.model_api_url]
        return [
            f"MODEL_API_URL 应写到 /v1/chat/completions 为止，现在以 {path or '/'} 结尾，可能得不到回答"
            for path in paths
            if not path.endswith("/chat/completions")
        ]

    @property
    def local(self) -> bool:
        """No WeChat credentials: stay on loopback and talk to the desk simulator instead of WeChat."""
        return not (self.miniprogram_appid or self.wechat_appid)

    @property
    def bind_host(self) -> str:
        # Cloud hosting knows its users by headers, needs no credentials, and calls from outside the container.
        return self.host or ("127.0.0.1" if self.local and not self.wechat_cloud else "0.0.0.0")

    @property
    def embedded(self) -> bool:
        """No model endpoint is configured: a child process of ours runs the model."""
        return not self.model_api_url

    @property
    def api_workers(self) -> int:
        return self.workers or (1 if self.embedded else os.cpu_count() or 1)

    @property
    def platform_url(self) -> str:
        return f"http://127.0.0.1:{self.simulator_port}" if self.local else self.wechat_api_url.rstrip("/")

    @property
    def platform_appid(self) -> str:
        return SIMULATOR_APPID if self.local else self.miniprogram_appid

    @property
    def platform_secret(self) -> str:
        return SIMULATOR_SECRET if self.local else self.miniprogram_secret

    @property
    def official_appid(self) -> str:
        """Of the official account; the desk simulator's in local mode."""
        return SIMULATOR_OFFICIAL_APPID if self.local else self.wechat_appid

    @property
    def official_secret(self) -> str:
        return SIMULATOR_SECRET if self.local else self.wechat_secret

    @property
    def callback_mode(self) -> str:
        """How pushes reach us: `safe` as soon as there is a key to decrypt them."""
        return self.wechat_mode or ("safe" if self.wechat_aes_key else "plain")

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy URL, from DATABASE_URL or the variables WeChat cloud hosting sets."""
        if self.database_url:
            return self.database_url
        if self.mysql_address:
            user, password = quote(self.mysql_username, safe=""), quote(self.mysql_password, safe="")
            return f"mysql+pymysql://{user}:{password}@{self.mysql_address}/{self.mysql_database}?charset=utf8mb4"
        return "sqlite:///data/chat.db"

    @property
    def secrets(self) -> set[str]:
        """Every value nobody may see, in a log line or anywhere else."""
        urls = [urlsplit(url) for url in (*self.model_api_url, self.database, self.alert_webhook_url)]
        values = {str(getattr(self, name)) for name in type(self).model_fields if is_secret(name)}
        values |= {unquote(part) for url in urls for part in (url.password, *_query_values(url.query)) if part}
        values |= {url.password for url in urls if url.password}
        return {value for value in values if value and value != SIMULATOR_SECRET}

    @property
    def data_dir(self) -> Path:
        """Where the database, models and the embedded engine's address live, below the working directory."""
        return Path("data")


_SECRET = re.compile(r"_(secret|password|token|key|key_previous)$")


def is_secret(name: str) -> bool:
    """Whether nobody may see the value of this setting."""
    return bool(_SECRET.search(name))


def _query_values(query: str) -> list[str]:
    secret = ("key", "token", "access_token", "secret", "api_key")
    return [value for name, value in parse_qsl(query) if name in secret]


def _unreadable_lines(path: Any) -> list[str]:
    """Lines of the file that set nothing; what stands there is not repeated, it may be a secret."""
    try:
        with open(path or os.devnull, encoding="utf-8") as file:
            lines = [
                (each.original.line, each.error or (each.key and each.value is None)) for each in parse_stream(file)
            ]
    except OSError:
        return []
    return [f".env 第 {line} 行看不懂，应写成 名称=值" for line, wrong in lines if wrong]


def _explain(error: Any) -> str:
    """One fault in the words of the person who has to mend it; the value of a secret is not repeated."""
    name = ".".join(str(part) for part in error["loc"][:1]).upper()
    context = error.get("ctx", {})
    choices = "、".join(re.findall("'(.+?)'", context.get("expected", "")))
    what = {
        "int_parsing": "应为整数",
        "float_parsing": "应为数字",
        "finite_number": "应为有限的数字",
        "bool_parsing": "应为 1/0、true/false 或 on/off",
        "literal_error": f"应为 {choices} 之一",
        "greater_than": f"应大于 {context.get('gt')}",
        "greater_than_equal": f"不能小于 {context.get('ge')}",
        "less_than_equal": f"不能大于 {context.get('le')}",
        "string_too_short": "不能为空",
        "string_pattern_mismatch": "格式不对",
        "extra_forbidden": ".env 里没有这个配置项，请检查拼写",
    }.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    secret = re.search(r"(SECRET|KEY|KEY_PREVIOUS|PASSWORD|TOKEN|URL)$", name)
    value = "" if secret or not name or error["type"] == "extra_forbidden" else f"={error['input']}"
    return f"{name}{value}：{what}" if name else what
