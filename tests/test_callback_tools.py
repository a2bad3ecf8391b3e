"""What staff run by hand for the official account: the menu as a file, imported replies, the doctor's checks."""

import json

import pytest

from core.settings import Settings
from core.store import content
from tests.loopback import serving
from tests.server import Process, free_port
from wechat import autoreplies, menu
from wechat.checks import official_account
from wechat.messaging import Messaging
from wechat.official import official_platform
from wechat.simulator.account import Account
from wechat.simulator.app import create_simulator

MENU = {
    "button": [
        {"type": "click", "name": "营业时间", "key": "HOURS"},
        {"name": "更多", "sub_button": [{"type": "view", "name": "官网", "url": "https://a.cn"}]},
    ]
}


@pytest.fixture
def desk():
    app = create_simulator({"wx2": "s"}, Account("wx2", may_push=True))
    with serving(app) as url:
        app.extensions["official"].url = url
        yield app.extensions["official"]


@pytest.fixture
def settings(desk, database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = database.url.render_as_string(hide_password=False)
    return Settings(wechat_appid="wx2", wechat_secret="s", wechat_api_url=desk.url, database_url=url, port=9)


@pytest.fixture
def messaging(settings, database):
    platform = official_platform(settings, database)
    yield Messaging(platform)
    platform.close()


def test_a_menu_goes_up_and_comes_back_the_same(desk, messaging):
    assert menu.check(MENU) == []
    messaging.set_menu(MENU)
    assert desk.menu == MENU
    assert menu.from_wechat(messaging.menu()) == MENU


def test_a_menu_made_in_the_console_comes_in_our_form():
    info = {"selfmenu_info": {"button": [{"name": "更多", "sub_button": {"list": [MENU["button"][0]]}}]}}
    assert menu.from_wechat(info) == {"button": [{"name": "更多", "sub_button": [MENU["button"][0]]}]}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "button"),
        ({"button": []}, "1 到 3"),
        ({"button": [{"type": "click", "name": "名字实在是太长了", "key": "K"}]}, "16 字节"),
        ({"button": [{"type": "click", "name": "好"}]}, "缺少 key"),
        ({"button": [{"type": "view", "name": "好"}]}, "缺少 url"),
        ({"button": [{"name": "好", "sub_button": [{}] * 6}]}, "最多 5 个"),
        ({"button": [{"name": "好"}]}, "没有 type"),
        ({"button": ["x"]}, "不是对象"),
    ],
)
def test_a_faulty_menu_is_explained_before_wechat_sees_it(wrong, said):
    assert said in "".join(menu.check(wrong))


def test_old_automatic_replies_are_taken_over_once(desk, messaging, database):
    text = {"type": "text", "content": "我们 9 点开门。"}
    rule = {"rule_name": "r", "reply_mode": "reply_all", "reply_list_info": [text]}
    words = [{"type": "text", "match_mode": "contain", "content": "几点"}, {"match_mode": "equal", "content": "开门"}]
    desk.auto_replies = {
        "is_add_friend_reply_open": 1,
        "is_autoreply_open": 1,
        "add_friend_autoreply_info": {"type": "text", "content": "欢迎！"},
        "keyword_autoreply_info": {
            "list": [
                rule | {"keyword_list_info": words},
                {"reply_list_info": [{"type": "img"}], "keyword_list_info": words},
            ]
        },
    }
    found = autoreplies.read(messaging.auto_replies())
    assert (found.welcome, found.left_out, len(found.keywords)) == ("欢迎！", 1, 2)
    assert [database.write(autoreplies.store, found) for _ in range(2)] == [2, 0]
    kept = {(row.keyword, row.match, row.reply) for row in database.read(content.keyword_replies)}
    assert kept == {("几点", "contains", "我们 9 点开门。"), ("开门", "exact", "我们 9 点开门。")}
    assert database.read(content.options)["welcome"] == "欢迎！"


@pytest.mark.parametrize("odd", [{}, {"keyword_autoreply_info": None}, {"keyword_autoreply_info": {"list": [1, {}]}}])
def test_odd_answers_import_nothing(odd):
    assert autoreplies.read(odd).keywords == []


def test_the_doctor_tells_what_the_account_may(desk, settings, database):
    said = json.dumps([str(each) for each in official_account(settings)], ensure_ascii=False)
    assert "access_token 可用" in said and "WECHAT_CUSTOMER_SERVICE=1" in said and "不做推送自测" in said
    desk.account.may_push = False
    pushing = settings.model_copy(update={"wechat_customer_service": True, "wechat_token": "t0ken"})
    findings = list(official_account(pushing))
    assert [each.state for each in findings] == ["ok", "fault", "note"]
    assert "48001" in findings[1].text and "连不上本机的接口" in findings[2].text


def test_the_doctor_names_an_address_that_is_not_listed(desk, settings):
    desk.account.allowed_ips = ()
    assert "IP 不在白名单" in next(iter(official_account(settings))).text


def test_nothing_is_checked_where_there_is_no_account():
    assert list(official_account(Settings())) == []


def test_a_wechat_that_cannot_be_reached_is_not_said_to_refuse(tmp_path):
    pull = Process("menu", tmp_path, "pull", simulator_port=free_port())
    assert pull.popen.wait(20) == 1
    assert "连不上微信 http://127.0.0.1" in pull.log and "make run" in pull.log
    assert "拒绝" not in pull.log and "Traceback" not in pull.log
