"""The sentences people read when something cannot be done: the mini-program and the official account say the same."""

from core.errors import (
    Busy,
    ChatError,
    Conflict,
    ContentBlocked,
    EmptyQuestion,
    InvalidCode,
    InvalidField,
    InvalidMessage,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    NotConfigured,
    NotFound,
    NotJson,
    NotRenewable,
    QuestionTooLong,
    QuotaExceeded,
    Unauthorized,
    UnusableAudio,
    UserBlocked,
)

INTERNAL = "服务器内部错误，请稍后再试。"

SENTENCES: dict[type[ChatError], str] = {
    InvalidMessage: "没看懂这个请求，请检查后再发。",
    InvalidField: "请求里的 {field} 缺少或不对，请检查后再发。",
    NotJson: "请求的内容格式不对，读不出来，请检查后再发。",
    EmptyQuestion: "请先输入问题。",
    QuestionTooLong: "问题太长了，最多 {limit} 个字。",
    UnusableAudio: "这段录音打不开，请换一种录音格式，或录短一点再试。",
    Unauthorized: "请先登录。",
    InvalidCode: "登录凭证无效或已过期，请重新登录。",
    UserBlocked: "你暂时不能使用这项服务，如有疑问请联系我们。",
    NotFound: "没有找到，可能已经删除了。",
    Conflict: "这个请求和之前的对不上，请重新发送。",
    NotRenewable: "只有最后一个问题可以重新回答，而且要等它答完。",
    ContentBlocked: "这个问题我不方便回答，换个问题试试吧。",
    QuotaExceeded: "有点快，{retry_after} 秒后再试。",
    NotConfigured: "服务器还没有配置这项功能。",
    Busy: "现在问的人有点多，请稍后再试。",
    ModelError: "解析 AI 响应时出错，请稍后再问一次。",
    ModelTimeout: "无法连接 AI 服务：等待超时，请稍后再问一次。",
    ModelUnavailable: "无法连接 AI 服务，请稍后再问一次。",
    ChatError: INTERNAL,
}


def sentence(error: ChatError) -> str:
    """What to tell the person whose request raised this."""
    if isinstance(error, QuotaExceeded) and error.window == "day":
        return f"今天的 {error.limit} 次提问已用完，明天 0 点恢复。"
    kind = next(kind for kind in type(error).__mro__ if kind in SENTENCES)
    return SENTENCES[kind].format_map(vars(error))
