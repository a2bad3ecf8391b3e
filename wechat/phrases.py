"""What the official account says by itself, in the words of a chat."""

from core.errors import ChatError, ModelError
from wechat.plain import clean
from wechat.wording import sentence

TRANSFER = "\x01transfer"  # stands for a reply that hands the message to the human customer service
SUCCESS = ""  # stands for `success`: nothing is shown

SORRY = "我暂时答不上来，请稍后再问一次。"
CLEARED = "好的，之前的对话已清空，我们重新开始吧。"
NOTHING_TO_REPEAT = "现在没有可以重答的问题，先问我一个，或者等这个回答写完。"
STOPPED = "这个回答已停止。"
BROKEN_OFF = "（回答中断了，请再问一次）"
AFRESH = "刚才的回答中断了，重新回答如下：\n"
END = "（完）"
MORE_BEFORE = "（上一条还有后文，回复“继续”查看）"
MORE_BESIDE = "（还有一条回答，回复“继续”查看）"
NO_HUMAN = "暂时没有人工客服，你可以直接把问题发给我。"
HELP = """直接发送文字就可以提问。另外可以发送：
继续　看没显示完的内容
重答　换一个回答
清空　忘掉之前的对话
人工　联系人工客服
投诉　反馈不合适的回答"""

UNSUPPORTED = {
    "image": "图片我还看不懂，请用文字描述一下你的问题。",
    "video": "视频我还看不懂，请用文字描述一下你的问题。",
    "shortvideo": "视频我还看不懂，请用文字描述一下你的问题。",
    "location": "收到你的位置了，不过我还不会看地图。想问什么，用文字告诉我吧。",
    "link": "链接我还打不开，请把想问的内容发给我。",
    "voice": "这条语音我没听清，请再说一次，或者改用文字。",
    "file": "文件我还打不开，请把想问的内容发给我。",
}
UNSUPPORTED_OTHER = "这种消息我还看不懂，请用文字告诉我吧。"
VOICE_NOT_CONFIGURED = "我还不会听语音，请用文字告诉我吧。"


def refusal(error: ChatError) -> str:
    """Why a question gets no answer."""
    if isinstance(error, ModelError) or type(error) is ChatError:
        return SORRY
    return sentence(error)


def duration(seconds: float) -> str:
    """About how long, rounded as people do."""
    if seconds < 10:
        return f"{max(2, round(seconds))} 秒"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} 秒"
    return f"{round(seconds / 60) if seconds >= 120 else 2} 分钟"


def nothing_yet(seconds: float) -> str:
    return f"正在写，大约还要 {duration(seconds)}，回复“继续”查看。"


def too_early(characters: int, seconds: float) -> str:
    if not characters:
        return f"还在写，大约还要 {duration(seconds)}，稍后回复“继续”查看。"
    return f"还在写，后文已有约 {characters} 字，大约还要 {duration(seconds)}，稍后回复“继续”查看。"


def still_writing(seconds: float) -> str:
    return f"（还在写，大约还要 {duration(seconds)}，回复“继续”查看后文）"


def more_left(characters: int) -> str:
    return f"（还有约 {characters} 字，回复“继续”查看）"


def about(question: str) -> str:
    """The heading of an answer that is not the answer to what was just asked."""
    line = " ".join(clean(question).split())
    return f"【关于“{line if len(line) <= 16 else line[:15] + '…'}”】\n"


def human(contact: str) -> str:
    return f"人工客服：{contact}" if contact else NO_HUMAN


def complaint(receipt: str) -> str:
    return f"你的投诉已收到，受理编号 {receipt}，我们会尽快处理。"


def welcome(text: str, suggestions: list[str]) -> str:
    """What a new follower reads; the suggestions can be tapped."""
    lines = [text, *(suggestion(number, each) for number, each in enumerate(suggestions, 1))]
    return "\n\n".join([lines[0], "\n".join(lines[1:])]) if suggestions else text


def suggestion(number: int, text: str) -> str:
    """A text that sends itself when it is tapped."""
    safe = text.translate({ord("&"): "＆", ord('"'): "”", ord("<"): "＜", ord(">"): "＞", ord("\n"): " "})
    return f'<a href="weixin://bizmsgmenu?msgmenucontent={safe}&msgmenuid={number}">{safe}</a>'
