"""The doctor's closer look at the official account: what it is allowed to do, and a push through our own callback."""

import secrets
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import requests

from core import migrate
from core.database import Database
from core.doctor import Finding, fault, note, ok
from core.settings import Settings
from wechat.envelope import Cipher, sign
from wechat.official import official_platform
from wechat.platform import PlatformError

OFFICIAL = "公众号"
NOBODY = "o" + "0" * 27  # an openid nobody has: WeChat checks the permission first
TIMEOUT = (3, 6)
IP_NOT_LISTED, UNAUTHORISED, NO_FOLLOWER, NOT_LATELY = 40164, 48001, 40003, 45080


def official_account(settings: Settings) -> Iterator[Finding]:
    """Everything that can be found out without a follower; nothing where no account is configured."""
    if not settings.wechat_appid:
        return
    database = Database("sqlite://")  # for the access token, which is the same for all who ask; ours may be missing
    try:
        migrate.upgrade(database)
        yield from permissions(settings, database)
    finally:
        database.dispose()
    yield self_test(settings)


def permissions(settings: Settings, database: Database) -> Iterator[Finding]:
    """Whether the token works and whether the account may send customer-service messages."""
    platform = official_platform(settings, database)
    try:
        platform.call("GET", "/cgi-bin/getcallbackip")
    except PlatformError as error:
        if error.errcode == IP_NOT_LISTED:
            yield fault(OFFICIAL, f"IP 不在白名单（{error}）", "在公众平台“IP 白名单”加上错误里的地址")
        else:
            yield fault(OFFICIAL, f"接口调用失败（{error}）", "按前面几项的提示检查 AppID、AppSecret 和网络")
        return
    yield ok(OFFICIAL, "access_token 可用")
    try:
        body = {"touser": NOBODY, "command": "Typing"}
        platform.call("POST", "/cgi-bin/message/custom/typing", body)
        may: bool | None = True
    except PlatformError as error:
        may = {UNAUTHORISED: False, NO_FOLLOWER: True, NOT_LATELY: True}.get(error.errcode or 0)
    finally:
        platform.close()
    if may is None:
        yield note(OFFICIAL, "看不出有没有客服消息权限")
    elif settings.wechat_customer_service and not may:
        yield fault(OFFICIAL, "账号没有客服消息权限（48001）", "没有认证的账号设置 WECHAT_CUSTOMER_SERVICE=0")
    elif may and not settings.wechat_customer_service:
        yield note(OFFICIAL, "账号有客服消息权限而没有用", "设置 WECHAT_CUSTOMER_SERVICE=1，长回答可以自动发完")
    else:
        yield ok(OFFICIAL, "客服消息权限与 WECHAT_CUSTOMER_SERVICE 一致")


def self_test(settings: Settings) -> Finding:
    """A push as WeChat would send it, to our own callback; the API must be running."""
    if not settings.wechat_token:
        return note(OFFICIAL, "没有 WECHAT_TOKEN，不做推送自测")
    host = "127.0.0.1" if settings.bind_host in ("0.0.0.0", "::") else settings.bind_host
    base = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/wechat/callback"
    timestamp, nonce, echo = str(int(time.time())), str(secrets.randbelow(10**9)), secrets.token_hex(8)
    token, query = settings.wechat_token, {"timestamp": timestamp, "nonce": nonce}
    plain = (
        f"<xml><ToUserName>gh_doctor</ToUserName><FromUserName>{NOBODY}</FromUserName>"
        f"<CreateTime>{timestamp}</CreateTime><MsgType>event</MsgType><Event>debug_demo</Event></xml>"
    )
    signed = query | {"signature": sign(token, timestamp, nonce)}
    if settings.callback_mode == "plain":
        pushed, body = signed, plain
    else:
        encrypted = Cipher(settings.wechat_aes_key, settings.official_appid).encrypt(plain.encode())
        pushed = signed | {"encrypt_type": "aes", "msg_signature": sign(token, timestamp, nonce, encrypted)}
        body = f"<xml><ToUserName>gh_doctor</ToUserName><Encrypt>{encrypted}</Encrypt></xml>"
    try:
        with requests.Session() as session:
            session.trust_env = False
            verified = session.get(f"{base}?{urlencode(signed | {'echostr': echo})}", timeout=TIMEOUT)
            answered = session.post(f"{base}?{urlencode(pushed)}", data=body.encode(), timeout=TIMEOUT)
    except requests.RequestException as error:
        return note(OFFICIAL, f"推送自测连不上本机的接口（{type(error).__name__}）", "先启动服务，再运行 doctor")
    if verified.text != echo or verified.status_code != 200:
        return fault(
            OFFICIAL, f"URL 验证没有通过（HTTP {verified.status_code}）", "正在运行的服务用的可能是旧配置，重启它"
        )
    if answered.status_code != 200 or answered.text != "success":
        return fault(
            OFFICIAL, f"推送自测没有通过（HTTP {answered.status_code}）", "检查加密方式和密钥，重启服务后再试"
        )
    return ok(OFFICIAL, "推送自测通过")
