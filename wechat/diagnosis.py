"""The doctor's look at WeChat: whether the platform takes what we were given, and whether our clock is right."""

import base64
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from core.doctor import Finding, fault, note, ok
from core.settings import Settings

MINIPROGRAM, OFFICIAL = "小程序", "公众号"
TIMEOUT = (3, 5)
CLOCK_SECONDS = 60.0

# What an errcode means, and what to do; {ip} is our address as WeChat saw it.
_MEANING = {
    40001: ("AppSecret 不对", "到公众平台核对 {secret}，重置后要同时改这里"),
    40125: ("AppSecret 不对", "到公众平台核对 {secret}，重置后要同时改这里"),
    40013: ("AppID 不对", "到公众平台核对 {appid}"),
    41002: ("AppID 不对", "到公众平台核对 {appid}"),
    41004: ("没有 AppSecret", "设置 {secret}"),
    40164: ("这台机器的出口 IP {ip} 不在白名单里", "到公众平台“开发接口管理 - IP 白名单”加上 {ip}"),
    40243: ("AppSecret 已被冻结", "到公众平台解冻"),
    89503: ("这个 IP 的调用要管理员确认", "请公众号管理员在微信里确认，再试"),
    89506: ("管理员在 24 小时内拒绝过这个 IP", "请管理员同意，或过 24 小时再试"),
    89507: ("管理员在 1 小时内拒绝过这个 IP", "请管理员同意，或过 1 小时再试"),
    45009: ("今天的调用次数用完了", "到公众平台清零，或等明天"),
    45011: ("调用太频繁", "过一分钟再试"),
    50004: ("账号没有使用这个接口的权限", "到公众平台检查账号状态"),
    50007: ("账号已被冻结", "到公众平台查看通知"),
    -1: ("微信系统繁忙", "过一会儿再试"),
}


def wechat(settings: Settings) -> Iterator[Finding]:
    if settings.local:
        yield note("微信", "没有配置小程序和公众号，以本机模式运行，由模拟器代替微信")
        return
    dates: list[float] = []
    yield from _account(settings, MINIPROGRAM, "MINIPROGRAM", dates)
    yield from _account(settings, OFFICIAL, "WECHAT", dates)
    yield from _callback(settings)
    if settings.wechat_msg_sec_check != "off" and not settings.miniprogram_appid:
        yield fault(MINIPROGRAM, "WECHAT_MSG_SEC_CHECK 开着而没有小程序", "设置 MINIPROGRAM_APPID，或改为 off")
    if dates:
        yield clock(min(dates, key=abs))
    if settings.wechat_cloud:
        yield note("WECHAT_CLOUD", "已信任云托管的请求头", "务必关闭这个服务的公网访问，否则任何人都能冒充用户")


def _account(settings: Settings, subject: str, prefix: str, dates: list[float]) -> Iterator[Finding]:
    names = {"appid": f"{prefix}_APPID", "secret": f"{prefix}_SECRET"}
    appid, secret = (str(getattr(settings, name.lower())) for name in names.values())
    if not appid:
        if secret:
            yield fault(subject, f"有 {names['secret']} 而没有 {names['appid']}", f"设置 {names['appid']}")
        return
    if not secret:
        if settings.wechat_cloud:
            yield note(subject, f"没有 {names['secret']}：云托管里可以不要")
        else:
            yield fault(subject, f"有 {names['appid']} 而没有 {names['secret']}", f"设置 {names['secret']}")
        return
    if not re.fullmatch(r"wx[0-9a-f]{16}", appid):
        yield note(subject, f"{names['appid']} 不像 AppID（应为 wx 加 16 位十六进制）", "检查有没有抄错")
    try:
        answer = _stable_token(settings.wechat_api_url, appid, secret, dates)
    except requests.RequestException as error:
        yield fault(
            subject, f"连不上 {settings.wechat_api_url}（{type(error).__name__}）", "检查网络、DNS 和 WECHAT_API_URL"
        )
        return
    except ValueError:
        yield fault(subject, f"{settings.wechat_api_url} 的回答不是微信的格式", "检查 WECHAT_API_URL 和中间的代理")
        return
    errcode = answer.get("errcode", 0)
    if answer.get("access_token") and not errcode:
        yield ok(subject, "AppID 和 AppSecret 正确，能取到 access_token")
        return
    ip = re.search(r"invalid ip ([0-9a-fA-F.:]+)", str(answer.get("errmsg", "")))
    words = names | {"ip": ip[1].rstrip(",") if ip else "（见公众平台的提示）"}
    what, mend = _MEANING.get(errcode, (f"微信拒绝了，错误码 {errcode}", "按错误码查微信文档"))
    yield fault(subject, f"{what.format(**words)}（{errcode}）", mend.format(**words))


def _stable_token(base: str, appid: str, secret: str, dates: list[float]) -> dict[str, Any]:
    """In its normal mode it gives everyone the same token, so asking disturbs nobody."""
    body = {"grant_type": "client_credential", "appid": appid, "secret": secret}
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(f"{base.rstrip('/')}/cgi-bin/stable_token", json=body, timeout=TIMEOUT)
    if date := response.headers.get("Date"):
        with suppress(ValueError):
            dates.append(time.time() - parsedate_to_datetime(date).timestamp())
    if response.status_code != 200:
        raise ValueError(f"HTTP {response.status_code}")
    answer = response.json()
    if not isinstance(answer, dict):
        raise ValueError("not an object")
    return answer


def _callback(settings: Settings) -> Iterator[Finding]:
    if not settings.wechat_appid:
        if settings.wechat_token or settings.wechat_aes_key:
            yield fault(OFFICIAL, "有 WECHAT_TOKEN 或 WECHAT_AES_KEY 而没有 WECHAT_APPID", "设置 WECHAT_APPID")
        return
    if not settings.wechat_token and not settings.wechat_cloud:
        yield fault(OFFICIAL, "没有 WECHAT_TOKEN，收不到消息", "在公众平台“服务器配置”填一个 Token，两边写成一样")
    elif settings.wechat_token and not re.fullmatch(r"[A-Za-z0-9]{3,32}", settings.wechat_token):
        yield fault(OFFICIAL, "WECHAT_TOKEN 应为 3 到 32 位字母或数字", "在公众平台和这里改成一样的")
    for name in ("wechat_aes_key", "wechat_aes_key_previous"):
        if (key := getattr(settings, name)) and not _good_key(key):
            yield fault(OFFICIAL, f"{name.upper()} 不是有效的 EncodingAESKey", "从公众平台重新复制，共 43 个字符")
    if settings.wechat_aes_key_previous and settings.wechat_aes_key_previous == settings.wechat_aes_key:
        yield note(OFFICIAL, "WECHAT_AES_KEY_PREVIOUS 和 WECHAT_AES_KEY 相同", "换密钥时它应是旧的那个，平时清空")
    if settings.callback_mode == "plain" and settings.wechat_aes_key:
        yield fault(
            OFFICIAL,
            "有 WECHAT_AES_KEY，而 WECHAT_MODE=plain，密文读不了",
            "清空 WECHAT_MODE，并在公众平台选安全模式",
        )
    elif settings.callback_mode == "plain" and not settings.wechat_cloud:
        yield note(OFFICIAL, "消息是明文的，签名不保护内容", "在公众平台选安全模式，并设置 WECHAT_AES_KEY")


def _good_key(key: str) -> bool:
    """43 characters are 258 bits; the two too many are zero in every key WeChat makes."""
    try:
        return len(base64.b64decode(key + "=", validate=True)) == 32
    except ValueError:
        return False


def clock(ahead: float) -> Finding:
    """`ahead` is by how many seconds our clock is before the platform's."""
    if abs(ahead) <= CLOCK_SECONDS:
        return ok("时钟", f"与微信相差 {abs(ahead):.0f} 秒")
    way = "快" if ahead > 0 else "慢"
    return fault(
        "时钟", f"比微信{way} {abs(ahead):.0f} 秒，消息会被当成过期的", "打开自动校时：timedatectl set-ntp true"
    )
