"""Who gets in, and what for: log-in, sessions, roles, and everything an attacker tries at the door."""

import contextlib
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest
import requests
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from admin.access import Access
from admin.gate import Gate, client_address
from admin.wording import AWAY
from core import roles
from core.database import Database
from core.settings import Settings
from core.store import content, staff, writing
from core.store.content import WordQuery
from core.tables import StaffRow, TurnRow
from tests.console.conftest import PASSWORD, ROLES, Office, cookies, go, handlers, hashed, queue_join, queue_joins

if TYPE_CHECKING:
    from playwright.sync_api import Page

Enter = Callable[..., Any]


def account(office: Office, name: str, role: str = "viewer") -> str:
    """A new account, which a test may do with as it likes; its name."""
    office.database.write(staff.add, name, hashed(), role)
    return name


def log_in(office: Office, name: str, password: str = PASSWORD, **options: Any) -> requests.Response:
    form = {"name": name, "password": password}
    return requests.post(f"{office.url}/login", data=form, allow_redirects=False, timeout=20, **options)


def inside(office: Office, token: str) -> bool:
    """Whether a session token opens the console."""
    answer = requests.get(office.url, cookies={"console_session": token}, allow_redirects=False, timeout=20)
    return answer.status_code == 200


# ---- Log-in


def test_staff_log_in_change_their_password_and_log_out_in_the_browser(office: Office, page: "Page") -> None:
    name = account(office, "周周")
    page.goto(office.url)
    assert page.url.endswith("/login")
    page.get_by_label("账号").fill(name)
    page.get_by_label("密码").fill("wrong")
    page.get_by_role("button", name="登录").click()
    page.get_by_text("账号或密码不对。").wait_for()
    assert page.get_by_label("账号").input_value() == name
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    page.get_by_text("周周（查看）").wait_for()

    page.get_by_role("link", name="修改密码").click()
    page.get_by_label("原密码").fill(PASSWORD)
    page.get_by_label("新密码（").fill("a-new-password")
    page.get_by_label("再输一次新密码").fill("a-new-password")
    page.get_by_role("button", name="修改密码").click()
    page.get_by_text("密码已修改").wait_for()
    page.get_by_label("账号").fill(name)
    page.get_by_label("密码").fill("a-new-password")
    page.get_by_role("button", name="登录").click()
    page.get_by_role("button", name="退出").click()
    page.get_by_role("button", name="登录").wait_for()
    page.goto(office.url)
    assert page.url.endswith("/login")


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(office: Office) -> None:
    cookie = log_in(office, "小李").headers["Set-Cookie"]
    assert "HttpOnly" in cookie and re.search("samesite=lax", cookie, re.I) and "Path=/" in cookie


def test_a_session_that_somebody_prepared_is_not_taken_over(office: Office) -> None:
    planted = "x" * 43
    answer = log_in(office, "小李", cookies={"console_session": planted})
    token = answer.cookies["console_session"]
    assert token != planted
    assert inside(office, token) and not inside(office, planted)


def test_guessing_is_slowed_for_names_that_exist_and_for_those_that_do_not_alike(office: Office) -> None:
    told = {}
    for name in (account(office, "被猜的人"), "没有这个人"):
        answers = [log_in(office, name, f"guess {number}") for number in range(5)]
        answers.append(log_in(office, name, PASSWORD))  # even the right one has to wait
        told[name] = [(one.status_code, re.sub(r"\d+", "N", words_of(one))) for one in answers]
    existing, unknown = told.values()
    assert existing == unknown
    assert existing[0] == (401, "账号或密码不对。")
    assert existing[-1] == (429, "尝试太频繁，请 N 秒后再试。")


def words_of(answer: requests.Response) -> str:
    found = re.search(r'role="alert">([^<]*)', answer.text)
    return found[1] if found else ""


def test_many_guesses_at_once_count_as_many(office: Office) -> None:
    name = account(office, "一起猜")
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(log_in(office, name, "guess").status_code)) for _ in range(12)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert answers.count(401) <= 5 and answers.count(429) >= 7


# ---- Sessions


@pytest.mark.parametrize("way", ["log-out", "password", "removal"])
def test_a_session_ends_at_once(office: Office, way: str) -> None:
    name = account(office, f"要走的人 {way}")
    token, other = office.session(name), office.session(name)
    assert inside(office, token)
    given = {"cookies": {"console_session": token}, "allow_redirects": False, "timeout": 20}
    if way == "log-out":
        requests.post(f"{office.url}/logout", **given)
        assert inside(office, other)  # another device stays
    elif way == "password":
        form = {"old": PASSWORD, "new": "another-one-12", "again": "another-one-12"}
        assert requests.post(f"{office.url}/password", data=form, **given).status_code == 303
        assert not inside(office, other)
    else:
        office.database.write(staff.remove, office.database.read(staff.get, name).id)
        assert not inside(office, other)
    assert not inside(office, token)
    join = {"data": [], "fn_index": 0, "session_hash": "abc"}
    assert requests.post(f"{office.url}/gradio_api/queue/join", json=join, **given).status_code == 401


def test_a_stream_of_events_ends_with_its_session(office: Office) -> None:
    office.cogito.will(pieces=["word "] * 300, every=0.1)
    name = account(office, "看着流的人", "editor")
    known, token = handlers(office), office.session(name)
    queue_join(office, name, known["editor__Playground_take"][0], ["一直讲下去"], session="abc1")
    body = {"data": [None, None, None, "", "", "", "", 500, 5, False], "session_hash": "abc1"}
    given: dict[str, Any] = {"cookies": {"console_session": token}, "timeout": 20}
    join = body | {"fn_index": known["editor__Lane_ask"][0]}
    requests.post(f"{office.url}/gradio_api/queue/join", json=join, **given).raise_for_status()
    with requests.get(f"{office.url}/gradio_api/queue/data?session_hash=abc1", stream=True, **given) as stream:
        lines = stream.iter_lines()
        assert any(b"word" in line for line in lines)
        office.database.write(staff.close_session, token)
        rest = []
        with contextlib.suppress(requests.RequestException):
            rest += lines
    assert not any(b"process_completed" in line for line in rest)
    turn = select(TurnRow.id).where(TurnRow.question == "一直讲下去")
    engine_stop(office, office.database.read(lambda connection: connection.execute(turn).scalar_one()))


def engine_stop(office: Office, turn_id: int) -> None:
    """What is being written ends, whoever writes it."""
    office.database.write(writing.request_stop, turn_id)
    office.cogito.wait_for(lambda: office.cogito.active == 0)


# ---- What is open to whom


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/gradio_api/queue/data?session_hash=a",
        "/theme.css",
        "/export/x",
    ],
)
def test_nothing_is_told_without_a_log_in(office: Office, path: str) -> None:
    answer = requests.get(office.url + path, allow_redirects=False, timeout=10)
    assert answer.status_code == 401
    page = requests.get(office.url + path, headers={"Accept": "text/html"}, allow_redirects=False, timeout=10)
    assert (page.status_code, page.headers["Location"]) == (303, "/login")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/token",
        "/token",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/openapi.json",
        "/docs",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/runs",
        "/monitoring",
        "/gradio_api/vibe-code",
        "/gradio_api/run/predict",
        "/gradio_api/call/x",
        "/gradio_api/user",
        "/gradio_api/deep_link",
        "/gradio_api/file=http://127.0.0.1:1/x.png",
        "/gradio_api/file=README.md",
    ],
)
def test_what_the_page_does_not_need_is_closed_even_to_staff(office: Office, path: str) -> None:
    for ask in (requests.get, requests.post):
        assert ask(office.url + path, cookies=cookies(office, "王店长"), timeout=10).status_code in (404, 405)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "data/chat.db", "app.py"]
)
def test_no_file_of_the_machine_is_handed_out(office: Office, path: str) -> None:
    for prefix in ("/gradio_api/file=", "/static/", "/assets/", "/export/"):
        answer = requests.get(office.url + prefix + path, cookies=cookies(office, "王店长"), timeout=10)
        assert answer.status_code in (403, 404, 405), (prefix, path, answer.text[:200])


@pytest.mark.parametrize("kind", ["a file of the machine", "the address of another site"])
def test_no_file_is_taken_that_a_request_only_names(office: Office, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("绝密词甲\n绝密词乙", encoding="utf-8")
    named = str(secret) if kind == "a file of the machine" else f"{office.url}/health"
    file = {"path": named, "meta": {"_type": "gradio.FileData"}}
    known = handlers(office)
    for who, handler in (("小陈", "viewer__Words_attempt"), ("小李", "editor__Words_add_file")):
        number, values = known[handler]
        for given in (file, {"deep": [file]}, {"path": named}, {"url": named}):
            told = queue_join(office, who, number, [given, *values[1:]])
            assert told["success"] is False and told["output"]["error"] == "填写的内容不对，请检查后再试。", told
    assert office.database.read(content.word_page, WordQuery("绝密词"), 1)[1] == 0


def test_what_no_database_can_hold_does_not_come_in(office: Office) -> None:
    assert log_in(office, "王\0店长").status_code == 303
    number, _ = handlers(office)["viewer__Words_attempt"]
    told = queue_join(office, "小陈", number, ["坏\ud83d\0字"])
    assert told["success"] and "坏?字" in told["output"]["data"][0]


def test_a_message_shows_a_name_as_it_is_written(office: Office) -> None:
    name = account(office, "<img src=x>")
    number, _ = handlers(office)["admin__Accounts_add"]
    told = queue_join(office, "王店长", number, [name, "viewer"])
    assert told["output"]["error"] == "已经有叫 &lt;img src=x&gt; 的账号。"


def test_an_address_counts_as_the_proxy_nearest_to_us_has_noted_it() -> None:
    told = [(b"x-forwarded-for", b"1.1.1.1, 2.2.2.2"), (b"x-forwarded-for", b"3.3.3.3")]
    asked = HTTPConnection({"type": "http", "headers": told, "client": ("127.0.0.1", 1)})
    assert [client_address(asked, trusted) for trusted in range(5)] == [
        "127.0.0.1",
        "3.3.3.3",
        "2.2.2.2",
        "1.1.1.1",
        "127.0.0.1",
    ]


def test_who_can_use_no_file_sends_none(office: Office) -> None:
    for who, status in (("小陈", 403), ("小李", 200)):
        given = {"files": {"files": ("a.txt", b"x")}, "cookies": cookies(office, who), "timeout": 10}
        assert requests.post(f"{office.url}/gradio_api/upload", **given).status_code == status


@pytest.mark.parametrize("cookie", ["bad[name]=1; {0}", 'open="never closed; {0}', "a=b; {0}; c={{}}"])
def test_what_other_programs_of_the_host_leave_in_the_cookies_keeps_nobody_out(office: Office, cookie: str) -> None:
    header = {"Cookie": cookie.format(f"console_session={office.session('小陈')}")}
    assert requests.get(f"{office.url}/config", headers=header, timeout=10).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://evil.example"])
def test_pages_of_others_get_nothing(office: Office, origin: str) -> None:
    given = {"cookies": cookies(office, "王店长"), "headers": {"Origin": origin}, "timeout": 10}
    for answer in (
        requests.post(f"{office.url}/gradio_api/queue/join", json={"data": [], "fn_index": 0}, **given),
        requests.post(f"{office.url}/login", data={"name": "小李", "password": PASSWORD}, **given),
        requests.post(f"{office.url}/logout", **given),
        requests.get(f"{office.url}/config", **given),
        requests.options(f"{office.url}/gradio_api/queue/join", **given),
    ):
        assert answer.status_code == 403
        assert not any(name.lower().startswith("access-control-") for name in answer.headers)


def test_every_answer_forbids_frames_foreign_sources_and_keeping(office: Office) -> None:
    for path in ("/login", "/", "/config", "/nowhere"):
        headers = requests.get(office.url + path, cookies=cookies(office, "小李"), timeout=10).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "img-src 'self' data: blob:" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"


def test_a_body_that_is_too_large_is_refused(office: Office) -> None:
    url, given = f"{office.url}/gradio_api/queue/join", {"cookies": cookies(office, "小李"), "timeout": 20}
    assert requests.post(url, data=b"x" * 2_100_000, **given).status_code == 413
    assert requests.post(url, data=iter([b"x" * 1_100_000] * 2), **given).status_code in (400, 413)


def test_a_database_that_is_away_is_told_as_that(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}")  # a folder cannot be opened
    client = TestClient(Gate(Starlette(), database), cookies={"console_session": "x"})
    answer = client.get("/config")
    assert (answer.status_code, answer.json()) == (503, {"detail": AWAY})
    guarded = Access(database, Settings()).on(lambda handler, **_: handler, lambda who: None)
    with pytest.raises(gr.Error, match=AWAY):
        guarded(gr.Request(username="小陈"), None)


# ---- Roles


def test_every_handler_is_guarded_and_refuses_who_may_not_even_by_hand(office: Office) -> None:
    known = handlers(office)
    assert all(re.match("(viewer|editor|admin)__", name) for name in known), "wired past Access.on"
    for who, closed in (("小陈", ("editor", "admin")), ("小李", ("admin",))):
        names = [name for name in known if name.partition("__")[0] in closed]
        for name, told in zip(names, queue_joins(office, who, [known[name] for name in names]), strict=True):
            assert told["success"] is False and told["output"]["error"] == "你的账号没有这个权限。", (name, who, told)


def test_what_several_things_change_has_one_handler_whose_last_result_stays(office: Office) -> None:
    """Wired one by one, a result that is asked for earlier may come later, and be shown for good."""
    config = requests.get(f"{office.url}/config", cookies=cookies(office, "王店长"), timeout=10).json()
    last = [one for one in config["dependencies"] if one["trigger_mode"] == "always_last"]
    known = [(re.sub(r"_\d+$", "", one["api_name"]), *one["outputs"]) for one in last]
    assert len(known) > 5
    assert not [one for one in known if known.count(one) > 1]


@pytest.mark.parametrize("name", ROLES)
def test_every_role_sees_the_tabs_that_are_for_it(office: Office, enter: Enter, name: str) -> None:
    from playwright.sync_api import expect

    page, role = enter(name), ROLES[name]
    go(page, "安全").locator(".word").first.wait_for()
    for tab, least in (("操作记录", "viewer"), ("试聊", "editor"), ("用户", "admin"), ("员工", "admin")):
        may = roles.may(role, least)
        expect(page.get_by_role("tab", name=tab, exact=True)).to_be_visible(visible=may)


def test_what_an_account_loses_is_gone_for_the_page_that_is_open(office: Office, enter: Enter) -> None:
    name = account(office, "要走的编辑", "editor")
    page = enter(name)
    page.get_by_role("tab", name="试聊").wait_for()
    lower = update(StaffRow).where(StaffRow.name == name).values(role="viewer")
    office.database.write(lambda connection: connection.execute(lower))
    box = page.locator("#question textarea")
    box.fill("还能问吗")
    box.press("Enter")
    page.get_by_text("你的账号没有这个权限。").wait_for()
    office.database.write(staff.remove, office.database.read(staff.get, name).id)
    box.fill("还在吗")
    page.get_by_role("button", name="发送").click()
    page.wait_for_url("**/login")
