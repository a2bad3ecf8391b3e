"""The local engine: llama.cpp's own server inside a child process, found through a small file.

`python app.py model` runs it in the foreground, `serve` starts that as a child. Once the model is loaded it
writes the rendezvous file (`data/model.json`): whoever wants to ask reads address and key there, so the port
may be whichever was free, and a restarted engine is found again. The processes that ask never load the
engine's 100 MB library.
"""

import json
import os
import re
import secrets
import select
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

DEMO_MODEL = Path(__file__).resolve().parent.parent / "demo" / "demo-zh.q8_0.gguf"
DEMO_NAME = "演示模型"
DEMO_SLOTS, DEMO_CONTEXT_TOKENS = 8, 512  # beyond 512 tokens it has never been trained
REAL_SLOTS = 2  # a 3B model needs about 0.9 GB per slot of 8192 tokens

# Exit codes of the child after which another start would end the same way.
UNUSABLE_MODEL = 3
UNUSABLE_ENGINE = 4

# Of a model in several files the first is given; an mmproj is the eyes of a model, not a model.
_NOT_A_MODEL = re.compile(r"^mmproj|-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_PROMPT_CACHE_MIB = 512  # llama.cpp's own default of 8192 fills a small machine


@dataclass(frozen=True, slots=True)
class EmbeddedEngine:
    """A running engine, as its rendezvous file describes it."""

    url: str
    key: str = field(repr=False)
    name: str
    demo: bool
    context_tokens: int
    slots: int
    pid: int


def find_model(model_path: Path | None, data_dir: Path) -> Path:
    """The GGUF to run: `model_path` if given, else the newest in `data_dir`/models, else the demo model."""
    if model_path is not None:
        if not model_path.is_file():
            raise FileNotFoundError(f"MODEL_PATH 指向的模型文件不存在：{model_path}")
        return model_path
    found = [path for path in (data_dir / "models").glob("*.gguf") if not _NOT_A_MODEL.search(path.name)]
    return max(found, key=lambda path: path.stat().st_mtime, default=DEMO_MODEL)


def read_rendezvous(path: Path) -> EmbeddedEngine | None:
    """The engine that left its address at `path`, or None while there is none (yet)."""
    try:
        found = json.loads(path.read_bytes())
        return EmbeddedEngine(**{name: found[name] for name in EmbeddedEngine.__slots__})
    except (OSError, ValueError, LookupError, TypeError):
        return None


def explain_exit(code: int) -> str:
    """Say in a sentence why an engine process ended, from its exit code as `subprocess` gives it."""
    return _EXITS.get(code, f"模型引擎意外退出（代码 {code}），原因见上面的输出。")


_EXITS = {
    0: "模型引擎已正常退出。",
    UNUSABLE_MODEL: "模型文件无法加载，原因见上面的输出。",
    UNUSABLE_ENGINE: "模型引擎无法启动，原因见上面的输出。",
    -signal.SIGTERM: "模型引擎已按要求停止。",
    -signal.SIGINT: "模型引擎已按要求停止。",
    -signal.SIGILL: "这台机器的 CPU 太旧（需要 AVX2），跑不了内置引擎；请设置 MODEL_API_URL 使用外部模型。",
    -signal.SIGKILL: "模型引擎被系统强行终止，多半是内存不足；请换更小的模型，或调小 MODEL_CONTEXT_TOKENS。",
    -signal.SIGABRT: "模型引擎崩溃，多半是内存不足或模型文件损坏。",
    -signal.SIGSEGV: "模型引擎崩溃，多半是模型文件损坏；请重新下载模型。",
    -signal.SIGBUS: "读取模型文件时出错，文件可能在运行中被改动，或磁盘有故障。",
}


def serve_engine(
    path: Path,
    rendezvous: Path,
    *,
    context_tokens: int,
    slots: int | None = None,
    watch_stdin: bool = False,
    verbosity: int = 1,
) -> int:
    """Run the engine until SIGTERM or SIGINT, or with `watch_stdin` until the parent's pipe on stdin closes.

    Returns an exit code if it cannot start, having said why on stderr. After a clean run it ends the process
    itself: dropping llama.cpp's server while it is answering hangs for more than 20 seconds.
    """
    rendezvous.unlink(missing_ok=True)  # left behind by a killed one; its port may be somebody else's by now
    if fault := _fault_of_file(path):
        return _give_up(UNUSABLE_MODEL, fault)
    # Threads that spin while they wait starve a busy machine: 5–10 tokens/s instead of 47–64.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import xllamacpp
    except ImportError as exc:
        return _give_up(UNUSABLE_ENGINE, _fault_of_import(exc))

    demo = path.resolve() == DEMO_MODEL
    name = DEMO_NAME if demo else path.stem
    slots = slots or (DEMO_SLOTS if demo else REAL_SLOTS)
    key = secrets.token_urlsafe(32)
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(path), {name}
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
    params.n_parallel = slots
    params.n_ctx = slots * (DEMO_CONTEXT_TOKENS if demo else context_tokens)
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    # The demo model is too small to share: a second thread halves its speed.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1 if demo else _cores()
    params.ui, params.endpoint_slots, params.cors_origins = False, False, "localhost"
    params.verbosity = verbosity

    # Loading takes long and never looks at Python's handlers: until it is done, let signals end us at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with _captured_stderr() as log:
        try:
            server = xllamacpp.Server(params)
        except (RuntimeError, MemoryError):
            return _give_up(UNUSABLE_MODEL, _fault_of_loading(path, log()))
    stop = _stop_signals()
    engine = _describe(server.listening_address, key, name, demo)
    _write(rendezvous, engine)
    try:
        _wait(stop, watch_stdin)
    finally:
        if read_rendezvous(rendezvous) == engine:  # and not another one's, which has taken over
            rendezvous.unlink(missing_ok=True)
        sys.stderr.flush()
        os._exit(0)


def _give_up(code: int, fault: str) -> int:
    print(fault, file=sys.stderr, flush=True)
    return code


def _fault_of_file(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as exc:
        return f"打不开模型文件 {path}：{exc.strerror}。"
    return None if magic == b"GGUF" else f"{path} 不是 GGUF 模型文件，可能没有下载完整；请重新下载。"


def _fault_of_import(exc: ImportError) -> str:
    if "libgomp" in str(exc):
        return "缺少系统库 libgomp1；请安装：apt-get install libgomp1（CentOS：yum install libgomp）。"
    if isinstance(exc, ModuleNotFoundError):
        return "没有安装内置引擎 xllamacpp；请运行 make setup，或设置 MODEL_API_URL 使用外部模型。"
    return f"内置引擎 xllamacpp 在这台机器上无法载入：{exc}"


def _fault_of_loading(path: Path, log: str) -> str:
    """What llama.cpp meant; it raises one and the same error for everything."""
    if "alloc" in log:
        return f"内存不足，装不下模型 {path.name}；请换更小的模型，或调小 MODEL_CONTEXT_TOKENS。"
    if "unknown model architecture" in log:
        return f"内置引擎不认识 {path.name} 的模型结构；请换一个模型，或升级 xllamacpp。"
    return f"模型文件 {path} 已损坏或不完整；请删掉它，重新下载。"


@contextmanager
def _captured_stderr() -> Iterator[Callable[[], str]]:
    """Collect what is written to file descriptor 2, C++ included; pass it on at the end."""
    with tempfile.TemporaryFile() as captured, os.fdopen(os.dup(2), "wb") as original:

        def content() -> bytes:
            return os.pread(captured.fileno(), os.fstat(captured.fileno()).st_size, 0)

        os.dup2(captured.fileno(), 2)
        try:
            yield lambda: content().decode(errors="replace")
        finally:
            os.dup2(original.fileno(), 2)
            original.write(content())


def _describe(address: str, key: str, name: str, demo: bool) -> EmbeddedEngine:
    """Ask the engine what it really gives: it shrinks the context to what the model was trained for."""
    request = Request(f"{address}/props", headers={"Authorization": f"Bearer {key}"})
    # No proxy: HTTP_PROXY in the environment must not see the way to ourselves.
    with build_opener(ProxyHandler({})).open(request, timeout=30) as response:
        props = json.load(response)
    return EmbeddedEngine(
        url=f"{address}/v1/chat/completions",
        key=key,
        name=name,
        demo=demo,
        context_tokens=props["default_generation_settings"]["n_ctx"],
        slots=props["total_slots"],
        pid=os.getpid(),
    )


def _write(rendezvous: Path, engine: EmbeddedEngine) -> None:
    """Readable by us alone, and never seen half written."""
    rendezvous.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(prefix=".", dir=rendezvous.parent)  # mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(engine), file, ensure_ascii=False)
    os.replace(temporary, rendezvous)


def _stop_signals() -> int:
    """From now on SIGTERM and SIGINT become a byte on the file descriptor returned.

    Not an Event: a handler that sets one while the main thread is inside `wait` can find its lock taken.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reader


def _wait(stop: int, watch_stdin: bool) -> None:
    """Until a signal to stop, or the end of stdin."""
    stdin = sys.__stdin__.fileno() if watch_stdin and sys.__stdin__ is not None else None
    watched = [stop] if stdin is None else [stop, stdin]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if stop in ready or not os.read(watched[-1], 4096):
            return


def _cores() -> int:
    """The cores we may use: a container's share may be far below what the machine has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return cores
