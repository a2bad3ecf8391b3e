import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url

from core.settings import Settings, SettingsError
from tests.server import ROOT

# The table of the contract, as it is seen from outside.
DEFAULTS: dict[str, Any] = {
    "port": 8000,
    "simulator_port": 8001,
    "console_host": "127.0.0.1",
    "console_port": 7860,
    "login_per_minute": 20,
    "max_streams_per_user": 10,
    "metrics_token": "",
    "model_api_url": (),
    "model_api_key": "",
    "model_name": "cogito-v1-preview-llama-3b",
    "model_path": None,
    "model_context_tokens": 8192,
    "model_first_token_seconds": 30,
    "model_idle_seconds": 30,
    "model_total_seconds": 300,
    "model_max_wait_seconds": 120,
    "stream_pace_ms": 100,
    "max_history_turns": 5,
    "max_tokens": 500,
    "max_tokens_limit": 2000,
    "max_question_chars": 2000,
    "min_reply_chars": 5,
    "session_days": 7,
    "cors_origins": ("*",),
    "chat_login": True,
    "user_per_minute": 20,
    "user_per_day": 200,
    "timezone": "Asia/Shanghai",
    "conversation_idle_hours": 12,
    "miniprogram_appid": "",
    "miniprogram_secret": "",
    "wechat_appid": "",
    "wechat_secret": "",
    "wechat_token": "",
    "wechat_aes_key": "",
    "wechat_aes_key_previous": "",
    "wechat_customer_service": False,
    "wechat_reply_seconds": 4.5,
    "wechat_deliveries": 3,
    "wechat_max_age_seconds": 600,
    "wechat_text_bytes": 2000,
    "wechat_silent_per_5_min": 20,
    "human_contact": "",
    "wechat_cloud": False,
    "wechat_api_url": "https://api.weixin.qq.com",
    "wechat_msg_sec_check": "off",
    "asr_api_url": "",
    "asr_api_key": "",
    "asr_model": "",
    "trusted_proxies": 0,
    "shutdown_seconds": 30,
    "log_level": "INFO",
    "log_format": "console",
    "brand_name": "AI 助手",
    "privacy_contact": "",
    "filing_text": "",
    "ai_label": "内容由 AI 生成",
    "retention_days": 200,
    "alert_webhook_url": "",
}
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and no variable of ours in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_


def fault(**overrides: Any) -> str:
    with pytest.raises(SettingsError) as raised:
        Settings.load(**overrides)
    return str(raised.value)


# ---- Defaults


def test_what_is_not_configured_has_the_default_of_the_contract() -> None:
    settings = Settings.load()
    known = {name: value for name, value in DEFAULTS.items() if name in Settings.model_fields}
    assert {name: getattr(settings, name) for name in known} == known


def test_nothing_configured_is_local_mode() -> None:
    settings = Settings.load()
    assert settings.local and settings.embedded
    assert settings.bind_host == "127.0.0.1"
    assert settings.api_workers == 1
    assert settings.platform_url == "http://127.0.0.1:8001"
    assert settings.platform_appid and settings.platform_secret
    assert settings.database == "sqlite:///data/chat.db"


def test_with_credentials_it_serves_the_world_and_talks_to_wechat() -> None:
    settings = Settings.load(miniprogram_appid="wx1", miniprogram_secret="s", wechat_api_url="https://proxy.example/")
    assert not settings.local
    assert settings.bind_host == "0.0.0.0"
    assert (settings.platform_url, settings.platform_appid) == ("https://proxy.example", "wx1")
    assert settings.platform_secret == "s"
    assert Settings.load(miniprogram_appid="wx1", host="10.0.0.1").bind_host == "10.0.0.1"


def test_an_endpoint_takes_the_place_of_the_embedded_model_and_frees_the_cores() -> None:
    settings = Settings.load(model_api_url="http://gpu:8000/v1/chat/completions")
    assert not settings.embedded
    assert settings.api_workers == (os.cpu_count() or 1)
    assert Settings.load(workers=3).api_workers == 3


# ---- Where values come from


def test_the_environment_comes_before_the_env_file(env: Callable[..., None]) -> None:
    Path(".env").write_text("PORT=9001\nBRAND_NAME=小店 “一号”\n# 注释\n\nMAX_TOKENS=\n", encoding="utf-8")
    env(PORT="9002", LOG_LEVEL="debug")
    settings = Settings.load()
    assert (settings.port, settings.brand_name, settings.log_level) == (9002, "小店 “一号”", "DEBUG")
    assert settings.max_tokens == 500  # an empty value is as good as none


def test_variables_of_other_programs_are_none_of_our_business(env: Callable[..., None]) -> None:
    env(PATH_TO_SOMETHING="x", MODEL_SOMETHING="y")
    Settings.load()


def test_a_name_in_the_env_file_that_is_not_known_stops_the_start() -> None:
    Path(".env").write_text("MODEL_API_KEY=sk-secret\nMAX_TOKEN=5\nUSER_PER_HOUR=7\n")
    told = fault()
    assert told.splitlines() == [
        "MAX_TOKEN：.env 里没有这个配置项，请检查拼写",
        "USER_PER_HOUR：.env 里没有这个配置项，请检查拼写",
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("http://a/v1/chat/completions", ("http://a/v1/chat/completions",)),
        (" http://a/v1 , https://b:8000/v1/x ,", ("http://a/v1", "https://b:8000/v1/x")),
        (" , ", ()),
    ],
)
def test_several_endpoints_are_separated_by_commas(
    env: Callable[..., None], written: str, read: tuple[str, ...]
) -> None:
    env(MODEL_API_URL=written)
    assert Settings.load().model_api_url == read


def test_origins_are_separated_by_commas(env: Callable[..., None]) -> None:
    env(CORS_ORIGINS="https://a.example, https://b.example")
    assert Settings.load().cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("written", "read"), [("1", True), ("on", True), ("off", False), ("0", False), ("No", False)]
)
def test_a_switch_may_be_written_in_many_ways(env: Callable[..., None], written: str, read: bool) -> None:
    env(CHAT_LOGIN=written)
    assert Settings.load().chat_login is read


def test_settings_are_frozen() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize("line", ["MODEL_API_KEY sk-secret", "MODEL_API_KEY", "'sk-secret'"])
def test_a_line_of_the_env_file_that_sets_nothing_stops_the_start(line: str) -> None:
    Path(".env").write_text(f"# 注释\n\nPORT=9001\n{line}\n")
    assert fault() == ".env 第 4 行看不懂，应写成 名称=值"


def test_an_address_of_the_model_that_is_not_whole_is_doubted(env: Callable[..., None]) -> None:
    env(MODEL_API_URL="http://me:pass@gpu:8000/v1, http://gpu:8001/v1/chat/completions, http://gpu:8002")
    assert Settings.load().doubts == [
        "MODEL_API_URL 应写到 /v1/chat/completions 为止，现在以 /v1 结尾，可能得不到回答",
        "MODEL_API_URL 应写到 /v1/chat/completions 为止，现在以 / 结尾，可能得不到回答",
    ]


# ---- Malformed values


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", "eighty", "PORT=eighty：应为整数"),
        ("PORT", "70000", "PORT=70000：不能大于 65535"),
        ("PORT", "0", "PORT=0：不能小于 1"),
        ("SESSION_DAYS", "long", "SESSION_DAYS=long：应为数字"),
        ("SESSION_DAYS", "0", "SESSION_DAYS=0：应大于 0.0"),
        ("SESSION_DAYS", "inf", "SESSION_DAYS=inf：应为有限的数字"),
        ("MODEL_IDLE_SECONDS", "nan", "MODEL_IDLE_SECONDS=nan：应为有限的数字"),
        ("CHAT_LOGIN", "perhaps", "CHAT_LOGIN=perhaps：应为 1/0、true/false 或 on/off"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT=xml：应为 console、json 之一"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL=LOUD：应为 DEBUG、INFO、WARNING、ERROR 之一"),
        ("TIMEZONE", "Asia/Peking", "TIMEZONE=Asia/Peking：没有这个时区，写法如 Asia/Shanghai"),
        ("TIMEZONE", "../../etc/passwd", "TIMEZONE=../../etc/passwd：没有这个时区，写法如 Asia/Shanghai"),
        ("USER_PER_DAY", "-1", "USER_PER_DAY=-1：不能小于 0"),
        ("MODEL_API_URL", "gpu:8000", "MODEL_API_URL：应为 http:// 或 https:// 开头的完整地址"),
        ("WECHAT_API_URL", "api.weixin.qq.com", "WECHAT_API_URL：应为 http:// 或 https:// 开头的完整地址"),
    ],
)
def test_a_malformed_value_stops_the_start_with_a_clear_line(
    env: Callable[..., None], name: str, value: str, told: str
) -> None:
    env(**{name: value})
    assert fault() == told


def test_every_fault_has_a_line_of_its_own(env: Callable[..., None]) -> None:
    env(PORT="x", LOG_LEVEL="LOUD", MODEL_PATH="ok")
    assert [line.partition("=")[0] for line in fault().splitlines()] == ["PORT", "LOG_LEVEL"]


def test_the_label_may_not_be_empty() -> None:
    assert fault(ai_label="") == "AI_LABEL=：不能为空"


def test_values_that_contradict_each_other_are_refused() -> None:
    assert fault(max_tokens=3000) == "MAX_TOKENS 不能大于 MAX_TOKENS_LIMIT"


@pytest.mark.parametrize(
    "url", ["chat.db", "mongodb://host/chat", "mysql://host/chat", "mysql+pymysql://u:p@host:port/chat", "://"]
)
def test_a_database_we_do_not_speak_with_is_refused(env: Callable[..., None], url: str) -> None:
    env(DATABASE_URL=url)
    assert fault().startswith("DATABASE_URL：")
    assert "host" not in fault()


# ---- Secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODEL_API_URL", "ftp://user:hunter2@host"),
        ("WECHAT_API_URL", "hunter2"),
        ("WECHAT_TOKEN", "hunter2 with blanks"),
        ("WECHAT_AES_KEY", "hunter2"),
        ("WECHAT_AES_KEY_PREVIOUS", "hunter2"),
        ("DATABASE_URL", "mysql://root:hunter2@host"),
    ],
)
def test_a_secret_that_is_malformed_is_not_repeated(env: Callable[..., None], name: str, value: str) -> None:
    env(**{name: value})
    told = fault()
    assert told.startswith(f"{name}：")
    assert "hunter2" not in told


def test_a_secret_is_not_repeated_for_the_fault_of_another_setting() -> None:
    Path(".env").write_text("MODEL_API_KEY=hunter2\nMINIPROGRAM_SECRET=hunter2\nPORT=x\nWECHAT_SECRT=hunter2\n")
    assert "hunter2" not in fault()
    assert "hunter2" not in fault(max_tokens=3000, port=1)


# ---- The database


def test_the_variables_of_cloud_hosting_name_a_mysql(env: Callable[..., None]) -> None:
    env(MYSQL_ADDRESS="10.0.0.5:3306", MYSQL_USERNAME="root@cloud", MYSQL_PASSWORD="p@ss/w:rd%?#&")
    url = make_url(Settings.load().database)
    assert url.drivername == "mysql+pymysql"
    assert (url.username, url.password) == ("root@cloud", "p@ss/w:rd%?#&")
    assert (url.host, url.port, url.database) == ("10.0.0.5", 3306, "chat")
    assert url.query["charset"] == "utf8mb4"


def test_a_database_url_comes_before_the_variables_of_cloud_hosting(env: Callable[..., None]) -> None:
    env(MYSQL_ADDRESS="10.0.0.5:3306", DATABASE_URL="postgresql+psycopg://root@db/chat")
    assert Settings.load().database == "postgresql+psycopg://root@db/chat"


# ---- The official account


def test_a_key_to_decrypt_with_makes_the_callback_safe() -> None:
    if "wechat_mode" not in Settings.model_fields:
        pytest.skip("no official account yet")
    assert Settings.load().callback_mode == "plain"
    assert Settings.load(wechat_aes_key=AES_KEY).callback_mode == "safe"
    assert Settings.load(wechat_aes_key=AES_KEY, wechat_mode="compatible").callback_mode == "compatible"
    assert fault(wechat_mode="safe").startswith("WECHAT_MODE")


# ---- What explains them


def test_every_setting_is_explained_in_the_env_example() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    shown = {
        match[1]: number for number, line in enumerate(lines) if (match := re.match(r"#? ?([A-Z][A-Z0-9_]+)=", line))
    }
    assert set(shown) == {name.upper() for name in Settings.model_fields}
    for name, number in shown.items():
        above = lines[number - 1] if number else ""
        assert re.search("[\u4e00-\u9fff]", above + lines[number]), f"{name} is not explained"


def test_the_env_example_is_itself_a_valid_configuration(tmp_path: Path) -> None:
    """With every line switched on, too."""
    written = (ROOT / ".env.example").read_text(encoding="utf-8")
    for text in (written, re.sub(r"(?m)^# ?([A-Z][A-Z0-9_]+=)", r"\1", written)):
        Path(".env").write_text(text, encoding="utf-8")
        Settings.load()
