"""`python app.py doctor` names what is wrong: each broken configuration by its own words, on real servers."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask, Response, request
from sqlalchemy import create_engine, make_url, text

import app
from core import doctor, migrate
from core.database import Database
from core.doctor import Finding
from core.doctor_model import model, speech
from core.settings import Settings
from tests.databases import fresh_database
from tests.fakes import FakeCogito
from tests.house import House
from tests.logged import logged_elsewhere
from tests.loopback import serving
from tests.server import ROOT, Api, free_port
from wechat.checks import official_account
from wechat.diagnosis import clock, wechat
from wechat.simulator.account import Account
from wechat.simulator.app import create_simulator

APPID, SECRET = "wx0123456789abcdef", "5ec7e75ec7e75ec7e75ec7e75ec7e700"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No .env and no data of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


def faults(check: doctor.Check, **given: Any) -> list[str]:
    """The lines of what is wrong. Each says what, and how to mend it."""
    lines = [str(found) for found in check(settings(**given)) if found.state == "fault"]
    assert all(re.fullmatch(r"✗ .+：.+ → .+", line) for line in lines), lines
    return lines


def one(check: doctor.Check, **given: Any) -> str:
    (line,) = faults(check, **given)
    return line


def all_well(check: doctor.Check, **given: Any) -> list[Finding]:
    found = list(check(settings(**given)))
    assert [line for line in found if line.state == "fault"] == []
    return found


# The database


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])  # of MySQL, see below
def test_a_database_that_is_up_to_date_is_fine(kind: str, tmp_path: Path) -> None:
    with fresh_database(kind, tmp_path) as url:
        (empty,) = all_well(doctor.database, database_url=url)
        assert empty.state == "note"
        upgraded = Database(url)
        migrate.upgrade(upgraded)
        (fine,) = all_well(doctor.database, database_url=url)
        assert fine.state == "ok" and migrate.head() in fine.text
        old, new = (
            "UPDATE alembic_version SET version_num = '0001'",
            "UPDATE alembic_version SET version_num = '9999'",
        )
        upgraded.write(lambda c: c.execute(text(old)))
        assert "旧版本 0001" in (line := one(doctor.database, database_url=url)) and "db upgrade" in line
        upgraded.write(lambda c: c.execute(text(new)))
        assert "比程序新" in one(doctor.database, database_url=url)
        upgraded.dispose()


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mysql+pymysql"])
def test_no_database_listens_there(scheme: str) -> None:
    line = one(doctor.database, database_url=f"{scheme}://root@127.0.0.1:{free_port()}/chat")
    assert "没有数据库在监听" in line


def test_the_database_has_another_password() -> None:
    line = one(doctor.database, database_url="mysql+pymysql://nobody_here:hunter2222@127.0.0.1/chat")
    assert "拒绝了用户名或密码（用户 nobody_here）" in line and "hunter2222" not in line


def test_there_is_no_such_database() -> None:
    line = one(doctor.database, database_url="mysql+pymysql://root@127.0.0.1/no_such_database")
    assert "CREATE DATABASE no_such_database CHARACTER SET utf8mb4" in line
    line = one(doctor.database, database_url="postgresql+psycopg://root@127.0.0.1/no_such_database")
    assert "CREATE DATABASE no_such_database" in line


def test_the_host_of_the_database_does_not_exist() -> None:
    assert "找不到主机 no.such.host.invalid" in one(
        doctor.database, database_url="mysql+pymysql://x@no.such.host.invalid/x"
    )


def test_the_database_can_only_be_read(tmp_path: Path) -> None:
    with fresh_database("postgresql", tmp_path) as url:
        database = Database(url)
        migrate.upgrade(database)
        database.dispose()
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            name = make_url(url).database
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        engine.dispose()
        assert "只能读，不能写" in one(doctor.database, database_url=url)


def test_a_sqlite_file_is_nowhere_or_no_database(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a database at all, just some words" * 100)
    assert "打不开" in one(doctor.database, database_url=f"sqlite:///{tmp_path}/file")
    assert "不可写" in one(doctor.database, database_url=f"sqlite:///{tmp_path}/file/chat.db")
    assert "内存" in one(doctor.database, database_url="sqlite://")
    (new,) = all_well(doctor.database, database_url=f"sqlite:///{tmp_path}/new/chat.db")
    assert new.state == "note" and not (tmp_path / "new").exists()  # looking makes nothing


def test_mysql_without_utf8mb4_loses_emoji(tmp_path: Path) -> None:
    with fresh_database("mysql", tmp_path) as url:
        engine = create_engine(url)
        name = make_url(url).database
        with engine.begin() as connection:
            connection.execute(text(f"ALTER DATABASE {name} CHARACTER SET latin1"))
        assert "latin1" in (line := one(doctor.database, database_url=url)) and "utf8mb4" in line
        assert "?charset=utf8mb4" in faults(doctor.database, database_url=f"{url}?charset=utf8mb3")[0]
        database = Database(url)
        migrate.upgrade(database)
        (fine, remark) = all_well(doctor.database, database_url=url)  # our tables say themselves what they are
        assert (fine.state, remark.state) == ("ok", "note")
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE turns CONVERT TO CHARACTER SET latin1"))
        assert "表 turns 的字符集不是 utf8mb4" in one(doctor.database, database_url=url)
        database.dispose()
        engine.dispose()


# The model


@pytest.fixture(scope="module")
def fussy() -> Iterator[str]:
    """An endpoint as vLLM makes one: it wants its key, and knows its model's name."""
    app = Flask(__name__)

    @app.before_request
    def check_key() -> Any:
        if request.headers.get("Authorization") != "Bearer right-key":
            return {"error": {"message": "Invalid API key"}}, 401
        return None

    @app.post("/v1/chat/completions")
    def complete() -> Any:
        asked = request.get_json()["model"]
        if asked == "broke":
            return {"error": {"message": "Insufficient Balance"}}, 402
        if asked == "mute":
            return Response("data: [DONE]\n\n", content_type="text/event-stream")
        if asked == "faulty":
            return Response(
                'data: {"error": {"message": "CUDA out of memory"}}\n\n', content_type="text/event-stream"
            )
        if asked != "cogito":
            return {"error": {"message": f"The model `{asked}` does not exist.", "code": 404}}, 404
        return Response('data: {"choices":[{"delta":{"content":"好"}}]}\n\n', content_type="text/event-stream")

    @app.get("/v1/models")
    def models() -> Any:
        return {"data": [{"id": "cogito", "max_model_len": 4096}]}

    @app.route("/", methods=["GET", "POST"])
    def page() -> str:
        return "<html>welcome</html>"

    with serving(app) as url:
        yield url


def at(fussy: str, **given: Any) -> dict[str, Any]:
    right = {"model_api_key": "right-key", "model_name": "cogito", "model_context_tokens": 4096}
    return {"model_api_url": (f"{fussy}/v1/chat/completions",)} | right | given


def test_a_model_that_answers_is_fine(fussy: str, cogito: FakeCogito) -> None:
    (found,) = all_well(model, **at(fussy))
    assert "首字" in found.text
    assert all_well(model, model_api_url=(cogito.url,))


def test_no_model_listens_there() -> None:
    assert "没有程序在监听" in one(model, model_api_url=(f"http://127.0.0.1:{free_port()}/v1/chat/completions",))
    assert "找不到主机" in one(model, model_api_url=("http://no.such.host.invalid/v1/chat/completions",))


def test_the_model_refuses_our_key(fussy: str) -> None:
    line = one(model, **at(fussy, model_api_key="wrong-key-of-mine"))
    assert "拒绝了密钥" in line and "MODEL_API_KEY" in line and "wrong-key-of-mine" not in line
    assert "需要密钥" in one(model, **at(fussy, model_api_key=""))


def test_the_path_of_the_model_is_wrong(fussy: str) -> None:
    assert "写到 /v1/chat/completions 为止" in one(model, **at(fussy, model_api_url=(f"{fussy}/v1",)))
    assert "检查主机、端口和路径前缀" in one(model, **at(fussy, model_api_url=(f"{fussy}/v2/chat/completions",)))
    assert "网页" in one(model, **at(fussy, model_api_url=(f"{fussy}/",)))


def test_the_model_has_another_name(fussy: str) -> None:
    line = one(model, **at(fussy, model_name="cogito-v1-preview-llama-3b"))
    assert "没有名为 cogito-v1-preview-llama-3b 的模型" in line and "改成它有的：cogito" in line


def test_the_model_has_less_room_than_we_would_use(fussy: str) -> None:
    assert "设为 4096" in one(model, **at(fussy, model_context_tokens=8192))


@pytest.mark.parametrize(
    ("name", "words"), [("broke", "余额"), ("mute", "没有给出回答"), ("faulty", "CUDA out of memory")]
)
def test_the_model_has_troubles_of_its_own(fussy: str, name: str, words: str) -> None:
    assert words in one(model, **at(fussy, model_name=name))


def test_a_model_that_is_loading_or_never_answers(cogito: FakeCogito) -> None:
    cogito.will_be_loading()
    assert "正在载入" in one(model, model_api_url=(cogito.url,))
    cogito.will(hold_at=-1, pieces=["…"])
    assert "迟迟没有回答" in one(model, model_api_url=(cogito.url,), model_first_token_seconds=0.3)
    cogito.release()


def test_the_speech_endpoint(fussy: str) -> None:
    right = {"asr_api_url": f"{fussy}/v1/audio/transcriptions", "asr_api_key": "right-key"}
    assert "不是转写接口" in one(speech, **right)
    assert "拒绝了密钥" in one(speech, **right | {"asr_api_key": "wrong"})
    assert "ASR_API_URL" in one(speech, asr_api_url=f"http://127.0.0.1:{free_port()}/v1/audio/transcriptions")
    assert all_well(speech) == []


def test_each_of_several_endpoints_is_looked_at(cogito: FakeCogito) -> None:
    dead = f"http://127.0.0.1:{free_port()}/v1/chat/completions"
    found = list(model(settings(model_api_url=(dead, cogito.url))))
    assert [one.state for one in found] == ["fault", "ok"]


def test_the_embedded_model(tmp_path: Path) -> None:
    (demo,) = all_well(model)
    assert demo.state == "note" and "演示模型" in demo.text
    assert "MODEL_PATH" in one(model, model_path=tmp_path / "none.gguf")
    half = tmp_path / "data" / "models" / "half.gguf"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"<html>")
    assert "不是完整的 GGUF" in one(model)
    half.write_bytes(b"GGUF")
    os.truncate(half, 1 << 43)  # a hole of 8 TB
    assert "可用内存只有" in one(model)


# WeChat


@pytest.fixture(scope="module")
def weixin() -> Iterator[str]:
    with serving(create_simulator({APPID: SECRET})) as url:
        yield url


@pytest.fixture
def account(weixin: str) -> dict[str, Any]:
    return {"wechat_api_url": weixin, "miniprogram_appid": APPID, "miniprogram_secret": SECRET}


@contextmanager
def answering(body: dict[str, Any], ahead: float = 0) -> Iterator[str]:
    """A platform that says nothing but this, by a clock of its own."""

    class Platform(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + ahead, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_account_that_is_right(account: dict[str, Any]) -> None:
    found = all_well(wechat, **account)
    assert [(one.subject, one.state) for one in found] == [("小程序", "ok"), ("时钟", "ok")]
    official = {"wechat_appid": APPID, "wechat_secret": SECRET, "wechat_token": "abc123", "wechat_aes_key": AES_KEY}
    found = all_well(wechat, **account | official)
    assert [(one.subject, one.state) for one in found] == [("小程序", "ok"), ("公众号", "ok"), ("时钟", "ok")]


def test_the_appsecret_is_wrong(account: dict[str, Any]) -> None:
    line = one(wechat, **account | {"miniprogram_secret": "ff" * 16})
    assert "AppSecret 不对（40125）" in line and "MINIPROGRAM_SECRET" in line and "ffff" not in line


def test_the_appid_is_wrong(account: dict[str, Any]) -> None:
    assert "AppID 不对（40013）" in one(wechat, **account | {"miniprogram_appid": "wxffffffffffffffff"})


def test_our_address_is_not_on_the_whitelist(account: dict[str, Any]) -> None:
    refusal = {
        "errcode": 40164,
        "errmsg": "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 1-2",
    }
    with answering(refusal) as url:
        line = one(wechat, **account | {"wechat_api_url": url})
    assert "203.0.113.7 不在白名单里" in line and "IP 白名单”加上 203.0.113.7" in line


def test_the_clock_is_wrong(account: dict[str, Any]) -> None:
    with answering({"access_token": "t", "expires_in": 7200}, ahead=-700) as url:
        line = one(wechat, **account | {"wechat_api_url": url})
    assert re.search(r"时钟：比微信快 (699|70[0-2]) 秒", line) and "set-ntp" in line
    assert "慢 90 秒" in str(clock(-90))


def test_the_platform_cannot_be_reached_or_is_something_else(account: dict[str, Any], fussy: str) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert "连不上" in one(wechat, **account | {"wechat_api_url": nowhere})
    assert "不是微信的格式" in one(wechat, **account | {"wechat_api_url": fussy})


def test_halves_of_an_account(account: dict[str, Any]) -> None:
    assert "没有 MINIPROGRAM_SECRET" in one(wechat, **account | {"miniprogram_secret": ""})
    official = {"wechat_appid": APPID, "wechat_secret": SECRET, "wechat_api_url": account["wechat_api_url"]}
    assert "没有 WECHAT_TOKEN" in one(wechat, **official)
    assert "3 到 32 位" in one(wechat, **official, wechat_token="a-b")
    assert "有 WECHAT_TOKEN" in one(wechat, **account, wechat_token="abc123")
    assert "没有小程序" in one(wechat, **official, wechat_token="abc123", wechat_msg_sec_check="open")
    plain = {"wechat_token": "abc123", "wechat_aes_key": AES_KEY, "wechat_mode": "plain"}
    assert "WECHAT_MODE=plain" in one(wechat, **official, **plain)


# The machine


def test_a_port_that_another_program_has(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"{port} 被别的程序占用" in one(
            doctor.ports, port=port, simulator_port=free_port(), console_port=free_port()
        )
    again = all_well(doctor.ports, port=house.api.port, simulator_port=free_port(), console_port=free_port())
    assert "正在运行的本服务" in again[0].text
    same = free_port()
    assert "都是" in one(doctor.ports, port=same, simulator_port=same, console_port=free_port())


def test_a_disk_that_is_full() -> None:
    assert all_well(doctor.disk)
    (line,) = [str(found) for found in doctor.disk(settings(), least=1 << 60)]
    assert "快满了" in line


def test_remarks(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=8000\n")
    (tmp_path / ".env").chmod(0o644)
    found = [str(one) for one in all_well(doctor.odds_and_ends, retention_days=30)]
    assert any("chmod 600" in line for line in found) and any("六个月" in line for line in found)


def test_a_robot_that_does_not_exist() -> None:
    app = Flask(__name__)
    app.add_url_rule("/send", view_func=lambda: {"errcode": 93000, "errmsg": "invalid webhook url"}, methods=["POST"])
    with serving(app) as url:
        assert "不认识" in one(doctor.odds_and_ends, alert_webhook_url=f"{url}/send?key=0123456789")


# The command


def run(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")} | environment
    command = [sys.executable, str(ROOT / "app.py"), "doctor"]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=60)


@pytest.fixture
def free_ports() -> dict[str, str]:
    return {name: str(free_port()) for name in ("PORT", "SIMULATOR_PORT", "CONSOLE_PORT")}


def test_a_newcomer_is_told_that_all_is_well(tmp_path: Path, free_ports: dict[str, str]) -> None:
    done = run(tmp_path, **free_ports)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "没有发现问题" in done.stdout and "演示模型" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_wrong_is_told_at_once_and_no_secret_with_it(
    tmp_path: Path, free_ports: dict[str, str], weixin: str
) -> None:
    done = run(
        tmp_path,
        **free_ports,
        DATABASE_URL=f"postgresql+psycopg://root:db-passw0rd@127.0.0.1:{free_port()}/chat",
        MODEL_API_URL=f"http://127.0.0.1:{free_port()}/v1/chat/completions",
        MODEL_API_KEY="sk-model-key",
        WECHAT_API_URL=weixin,
        MINIPROGRAM_APPID=APPID,
        MINIPROGRAM_SECRET="a-wrong-app-secret",
    )
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("✗")]
    assert [line.split("：")[0] for line in wrong] == ["✗ 数据库", "✗ 模型", "✗ 小程序"]
    for secret in ("db-passw0rd", "sk-model-key", "a-wrong-app-secret"):
        assert secret not in done.stdout + done.stderr


OFFICIAL = {"WECHAT_APPID": "wxdesk0000000002", "WECHAT_SECRET": SECRET, "WECHAT_TOKEN": "abc123"}
BROKEN: dict[str, tuple[dict[str, str], str]] = {
    "the database is not running": ({"DATABASE_URL": "postgresql+psycopg://me@127.0.0.1:9/chat"}, "没有数据库在监听"),
    "its password is wrong": ({"DATABASE_URL": "mysql+pymysql://nobody_here:x@127.0.0.1/chat"}, "拒绝了用户名或密码"),
    "it has no such database": ({"DATABASE_URL": "mysql+pymysql://root@127.0.0.1/none_such"}, "没有名为 none_such"),
    "the model is not running": ({"MODEL_API_URL": "http://127.0.0.1:9/v1/chat/completions"}, "没有程序在监听"),
    "its address is not whole": ({"MODEL_API_URL": "{fussy}/v1"}, "写到 /v1/chat/completions 为止"),
    "its key is wrong": ({"MODEL_API_KEY": "a-wrong-key"}, "拒绝了密钥"),
    "its name is wrong": ({"MODEL_NAME": "gpt"}, "没有名为 gpt 的模型"),
    "the AppSecret is wrong": ({"MINIPROGRAM_SECRET": "ff" * 16}, "AppSecret 不对"),
    "the AppID is wrong": ({"MINIPROGRAM_APPID": "wxffffffffffffffff"}, "AppID 不对"),
    "the platform cannot be reached": ({"WECHAT_API_URL": "http://127.0.0.1:9"}, "连不上 http://127.0.0.1:9"),
    "pushes are encrypted and read as plain": (
        OFFICIAL | {"WECHAT_AES_KEY": AES_KEY, "WECHAT_MODE": "plain"},
        "密文读不了",
    ),
    "the account may not push": (OFFICIAL | {"WECHAT_CUSTOMER_SERVICE": "1"}, "没有客服消息权限"),
    "two ports are the same": ({"CONSOLE_PORT": "{port}"}, "CONSOLE_PORT 和 PORT 都是"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_of_a_configuration_that_is_wrong_in_one_thing_this_is_named_and_nothing_else(
    name: str, fussy: str, tmp_path: Path, free_ports: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, words = BROKEN[name]
    desk = create_simulator({APPID: SECRET, OFFICIAL["WECHAT_APPID"]: SECRET}, Account(OFFICIAL["WECHAT_APPID"]))
    with serving(desk) as weixin:
        right = {
            "MODEL_API_URL": f"{fussy}/v1/chat/completions",
            "MODEL_API_KEY": "right-key",
            "MODEL_NAME": "cogito",
            "MODEL_CONTEXT_TOKENS": "4096",
            "WECHAT_API_URL": weixin,
            "MINIPROGRAM_APPID": APPID,
            "MINIPROGRAM_SECRET": SECRET,
            "HOST": "127.0.0.1",
        }
        for variable, value in (right | free_ports | wrong).items():
            monkeypatch.setenv(variable, value.format(fussy=fussy, port=free_ports["PORT"]))
        with logged_elsewhere():
            done = CliRunner().invoke(app.main, ["doctor"])
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("✗")]
    assert words in line and " → " in line
    assert done.exit_code == 1


@pytest.mark.parametrize("mode", ["safe", "plain"])
def test_a_push_through_our_own_callback(
    mode: str, tmp_path: Path, start_api: Callable[..., Api], database_url: str
) -> None:
    with serving(create_simulator({"wxdesk0000000002": SECRET}, Account("wxdesk0000000002"))) as weixin:
        given = {
            "host": "127.0.0.1",
            "wechat_api_url": weixin,
            "wechat_appid": "wxdesk0000000002",
            "wechat_secret": SECRET,
            "wechat_token": "abc123",
            "wechat_mode": mode,
            "wechat_aes_key": AES_KEY if mode == "safe" else "",
        }
        api = start_api(**given)
        here = {"database_url": database_url, "port": api.port}
        found = [str(finding) for finding in official_account(settings(**given | here))]
        assert found[-1] == "✓ 公众号：推送自测通过", found
        (line,) = faults(official_account, **given | here | {"wechat_token": "another"})
        assert "URL 验证没有通过" in line


def test_a_malformed_setting_is_named_too(tmp_path: Path) -> None:
    done = run(tmp_path, PORT="eighty", WECHAT_AES_KEY="too-short", DATABASE_URL="oracle://x/y")
    assert done.returncode == 1
    assert (
        "PORT" in done.stderr
        and "DATABASE_URL" in done.stderr
        and "WECHAT_AES_KEY" in done.stderr
        and "too-short" not in done.stderr
    )
    assert "Traceback" not in done.stderr
