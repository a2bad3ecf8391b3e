"""The sentences staff read when something cannot be done, and the names of things in the console."""

from core.errors import (
    Busy,
    ChatError,
    Conflict,
    ContentBlocked,
    EmptyQuestion,
    InvalidMessage,
    LastAdmin,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    NotConfigured,
    NotFound,
    QuestionTooLong,
    QuotaExceeded,
    Unauthorized,
    UserBlocked,
)
from core.store.turnlog import Flag

STAFF = "staff"  # stands where an appid would, for the users staff are when they try something out
FORBIDDEN = "你的账号没有这个权限。"
AWAY = "数据库暂时连不上，请稍后再试。"
FULL = "数据库写不进去了，磁盘可能满了，请告诉管理服务器的人。"
BUG = "控制台内部错误，没有完成。详情在服务器日志里。"

SENTENCES: dict[type[ChatError], str] = {
    InvalidMessage: "填写的内容不对，请检查后再试。",
    EmptyQuestion: "请先输入问题。",
    QuestionTooLong: "问题太长了，最多 {limit} 个字。",
    Unauthorized: "账号已不存在或已退出，请重新登录。",
    UserBlocked: "这个用户已被停用。",
    NotFound: "没有找到，可能已经删除了。",
    Conflict: "已经存在，或别人刚刚改过，请刷新后再试。",
    LastAdmin: "至少要有一个管理员，不能删除或降级最后一个。",
    ContentBlocked: "问题里有禁止的词，没有发给模型。",
    QuotaExceeded: "提问次数已用完。",
    NotConfigured: "服务器还没有配置这项功能。",
    Busy: "正在等待的问题太多，请稍后再试。",
    ModelError: "模型的回答无法解析。",
    ModelTimeout: "模型等待超时。",
    ModelUnavailable: "连不上模型，请检查模型服务。",
    ChatError: BUG,
}

ACTIONS = {"mask": "打码", "block": "拦截", "allow": "放行"}
CHANNELS = {"miniprogram": "小程序", "official": "公众号", "console": "控制台"}
STATUSES = {
    "queued": "等待中",
    "answering": "回答中",
    "done": "已完成",
    "stopped": "已停止",
    "failed": "失败",
    "blocked": "被拦截",
}
FLAGS: dict[Flag, str] = {
    "blocked": "拦截",
    "masked": "打码",
    "failed": "失败",
    "disliked": "差评",
    "liked": "好评",
    "reported": "投诉",
    "partial": "部分送达",
    "uncollected": "一直没取",
    "noted": "有备注",
}
KINDS = {"report": "投诉", "review": "待复核", "disliked": "差评", "blocked": "拦截"}
CODES = {
    "model_error": "模型回答有误",
    "model_timeout": "模型超时",
    "model_unavailable": "连不上模型",
    "content_blocked": "内容被拦截",
    "busy": "排队太久",
    "internal": "内部错误",
}


def sentence(error: ChatError) -> str:
    """What to tell the member of staff whose click raised this."""
    kind = next(kind for kind in type(error).__mro__ if kind in SENTENCES)
    return SENTENCES[kind].format_map(vars(error))
