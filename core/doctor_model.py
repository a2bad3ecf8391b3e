"""The doctor's look at the model: whether it can be reached, takes our key, knows our model, and answers."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from core.doctor import Finding, fault, note, ok
from core.embedded import DEMO_MODEL, find_model, read_rendezvous
from core.model.endpoints import Endpoint
from core.settings import Settings

MODEL, SPEECH = "模型", "语音识别"
CONNECT_SECONDS = 5
PATIENCE_SECONDS = 30.0  # for the first token
QUESTION = "你好"


def model(settings: Settings) -> Iterator[Finding]:
    if settings.embedded:
        yield from _embedded(settings)
        return
    seconds = min(settings.model_first_token_seconds, PATIENCE_SECONDS)
    for url in settings.model_api_url:
        yield from _endpoint(Endpoint(url, settings.model_api_key, settings.model_name), seconds, settings)


def speech(settings: Settings) -> Iterator[Finding]:
    """A request without a recording is refused, and by how it is refused the rest shows."""
    url = settings.asr_api_url
    if not url:
        return
    where = Endpoint(url, "", "").shown
    headers = {"Authorization": f"Bearer {settings.asr_api_key}"} if settings.asr_api_key else {}
    try:
        with requests.Session() as session:
            session.trust_env = False
            status = session.post(url, headers=headers, data={"model": settings.asr_model}, timeout=10).status_code
    except requests.RequestException as error:
        what, mend = _unreachable(where, error)
        yield fault(SPEECH, what, mend.replace("MODEL_API_URL", "ASR_API_URL"))
        return
    if status in (401, 403):
        yield fault(SPEECH, f"{where} 拒绝了密钥（HTTP {status}）", "改正 ASR_API_KEY")
    elif status in (404, 405):
        yield fault(
            SPEECH, f"{where} 不是转写接口（HTTP {status}）", "ASR_API_URL 要写到 /v1/audio/transcriptions 为止"
        )
    elif status >= 500:
        yield fault(SPEECH, f"{where} 出错（HTTP {status}）", "看语音服务的日志")
    else:
        yield ok(SPEECH, f"{where} 可以连接")


def _embedded(settings: Settings) -> Iterator[Finding]:
    try:
        path = find_model(settings.model_path, settings.data_dir)
    except FileNotFoundError as missing:
        yield fault(MODEL, str(missing), "改正 MODEL_PATH；或清空它，再运行 python app.py model download")
        return
    if not path.is_file():
        yield fault(MODEL, "没有模型文件", "运行 python app.py model download，或设置 MODEL_API_URL")
        return
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            yield fault(MODEL, f"{path} 不是完整的 GGUF 文件", "删掉它，运行 python app.py model download")
            return
    if _lacks_avx2():
        yield fault(MODEL, "这台机器的 CPU 没有 AVX2，跑不了内置引擎", "设置 MODEL_API_URL，使用外部模型")
        return
    size, memory = path.stat().st_size, _memory()
    if memory and size * 1.2 > memory:
        yield fault(
            MODEL,
            f"{path.name} 有 {size / (1 << 30):.1f} GB，而可用内存只有 {memory / (1 << 30):.1f} GB",
            "换小一些的模型，或设置 MODEL_API_URL 使用外部模型",
        )
        return
    if path.resolve() == DEMO_MODEL:
        yield note(
            MODEL,
            "正在用演示模型，它只会回答少量固定的问题",
            "运行 python app.py model download 下载 Cogito，或设置 MODEL_API_URL",
        )
    else:
        yield ok(MODEL, f"内置引擎，{path.name}")
    if engine := read_rendezvous(settings.data_dir / "model.json"):
        yield from _endpoint(Endpoint(engine.url, engine.key, engine.name), PATIENCE_SECONDS, settings)


def _endpoint(endpoint: Endpoint, seconds: float, settings: Settings) -> Iterator[Finding]:
    where = endpoint.shown
    with requests.Session() as session:
        session.trust_env = False  # as when we serve: no proxy on the way to the model
        if endpoint.key:
            session.headers["Authorization"] = f"Bearer {endpoint.key}"
        began = time.monotonic()
        try:
            trouble = _ask(session, endpoint, seconds)
        except requests.RequestException as error:
            yield fault(MODEL, *_unreachable(where, error))
            return
        if trouble:
            yield fault(MODEL, *trouble)
            return
        yield ok(MODEL, f"{where} 有回答，首字 {time.monotonic() - began:.1f} 秒")
        yield from _room(session, endpoint, settings)


def _ask(session: requests.Session, endpoint: Endpoint, seconds: float) -> tuple[str, str] | None:
    """A tiny question, as we ask when we serve; what is wrong with the answer and what to do."""
    body = {
        "model": endpoint.name,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 8,
        "stream": True,
    }
    with session.post(endpoint.url, json=body, stream=True, timeout=(CONNECT_SECONDS, seconds)) as response:
        if response.status_code != 200:
            return _refusal(session, endpoint, response)
        kind = response.headers.get("Content-Type", "")
        if "json" not in kind and "event-stream" not in kind:
            return _wrong_path(endpoint, "那里是一个网页，不是模型接口" if "html" in kind else "回答的格式不对")
        give_up = time.monotonic() + seconds
        for line in response.iter_lines(chunk_size=None):
            if line.startswith((b"data: {", b"{")) and (said := _said(line)):
                return None if said == "words" else (f"{endpoint.shown} 报错：{said}", "看模型服务的日志")
            if time.monotonic() > give_up:
                return (
                    f"{endpoint.shown} {seconds:.0f} 秒内没有说出第一个字",
                    "换更快的机器或更小的模型，或调大 MODEL_FIRST_TOKEN_SECONDS",
                )
    return f"{endpoint.shown} 没有给出回答", "看模型服务的日志；确认它支持 stream: true"


def _said(line: bytes) -> str | None:
    """`words` if the line holds part of an answer; the error's text if it holds one."""
    try:
        event = json.loads(line.removeprefix(b"data: "))
        if error := event.get("error"):
            return str(error.get("message", error) if isinstance(error, dict) else error)[:200]
        choice = event["choices"][0]
    except (ValueError, LookupError, AttributeError, TypeError):
        return None
    told = choice.get("delta") or choice.get("message") or {}
    spoken = any(told.get(name) for name in ("content", "reasoning_content", "reasoning"))
    return "words" if spoken or choice.get("finish_reason") else None


def _refusal(session: requests.Session, endpoint: Endpoint, response: requests.Response) -> tuple[str, str]:
    status, where = response.status_code, endpoint.shown
    told = _message(response)
    if status in (401, 403):
        if not endpoint.key:
            return f"{where} 需要密钥（HTTP {status}）", "设置 MODEL_API_KEY"
        return f"{where} 拒绝了密钥（HTTP {status}）", "改正 MODEL_API_KEY"
    if status in (400, 404, 422) and "model" in told.lower() and _about_name(told, endpoint.name):
        return f"{where} 没有名为 {endpoint.name} 的模型", _names(session, endpoint)
    if status in (404, 405):
        return _wrong_path(endpoint, f"HTTP {status}")
    if status == 402:
        return f"{where} 说余额不足（HTTP 402）", "给模型服务的账号充值"
    if status == 429:
        return f"{where} 说请求太多或余额不足（HTTP 429）", "看模型服务商的控制台：额度、并发上限、余额"
    if status == 503:
        return f"{where} 暂时不可用，可能正在载入模型（HTTP 503）", "等它载入完再试；一直如此就看它的日志"
    return f"{where} 回答 HTTP {status}：{told[:120] or '没有说明'}", "看模型服务的日志"


def _wrong_path(endpoint: Endpoint, what: str) -> tuple[str, str]:
    mend = "MODEL_API_URL 要写到 /v1/chat/completions 为止"
    if not urlsplit(endpoint.url).path.endswith("/chat/completions"):
        return f"{endpoint.shown} 不是模型接口的地址（{what}）", mend
    return f"{endpoint.shown} 不是模型接口的地址（{what}）", mend + "，并检查主机、端口和路径前缀"


def _about_name(told: str, name: str) -> bool:
    words = told.lower()
    return name.lower() in words or any(
        one in words for one in ("not found", "does not exist", "not exist", "no such")
    )


def _message(response: requests.Response) -> str:
    try:
        answer: Any = response.json()
    except (requests.RequestException, ValueError):
        return ""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    return str(error.get("message") or error.get("detail") or "" if isinstance(error, dict) else error)


def _names(session: requests.Session, endpoint: Endpoint) -> str:
    names = [str(one.get("id")) for one in _list(session, endpoint)]
    return f"把 MODEL_NAME 改成它有的：{'、'.join(names[:5])}" if names else "改正 MODEL_NAME"


def _list(session: requests.Session, endpoint: Endpoint) -> list[dict[str, Any]]:
    url = endpoint.url.removesuffix("/chat/completions") + "/models"
    try:
        data = session.get(url, timeout=CONNECT_SECONDS).json()["data"]
        return [one for one in data if isinstance(one, dict)]
    except (requests.RequestException, ValueError, LookupError, TypeError):
        return []


def _room(session: requests.Session, endpoint: Endpoint, settings: Settings) -> Iterator[Finding]:
    """vLLM and SGLang tell how long a prompt may be."""
    for entry in _list(session, endpoint):
        longest = entry.get("max_model_len")
        ours = entry.get("id") == endpoint.name
        if ours and isinstance(longest, int) and longest < settings.model_context_tokens:
            yield fault(
                MODEL,
                f"MODEL_CONTEXT_TOKENS={settings.model_context_tokens}，而模型只有 {longest}",
                f"把 MODEL_CONTEXT_TOKENS 设为 {longest}",
            )


def _unreachable(where: str, error: requests.RequestException) -> tuple[str, str]:
    said = str(error)
    if "NameResolution" in said or "getaddrinfo" in said:
        return f"找不到主机 {urlsplit(where).hostname}", "改正 MODEL_API_URL 里的主机名"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{where} 的 TLS 证书不可信，或它不说 HTTPS", "检查 MODEL_API_URL 该用 http 还是 https，以及证书"
    if isinstance(error, requests.ConnectTimeout):
        return f"连接 {where} 超时", "检查防火墙、安全组和地址"
    if isinstance(error, requests.Timeout) or "Read timed out" in said:
        return f"{where} 迟迟没有回答", "看模型服务是否卡住；也可以调大 MODEL_FIRST_TOKEN_SECONDS"
    if "refused" in said:
        return f"连不上 {where}：没有程序在监听", "启动模型服务，或改正 MODEL_API_URL 的主机和端口"
    return f"{where} 的连接断了", "看模型服务的日志；检查 http 还是 https"


def _lacks_avx2() -> bool:
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):  # not Linux, or not x86
        return False
    return " avx2" not in flags


def _memory() -> int | None:
    """Bytes that could be had."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return None
