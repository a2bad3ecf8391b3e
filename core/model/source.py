"""Where the model is, and what it is: endpoints that were configured, or the embedded engine beside us."""

import threading
from pathlib import Path
from typing import NamedTuple

from core.embedded import EmbeddedEngine, read_rendezvous
from core.model import Endpoint
from core.settings import Settings


class ModelFacts(NamedTuple):
    """What can be said of the model; `notice` is for people, where it is not the one they expect."""

    name: str
    context_tokens: int
    max_concurrent: int  # answers written at once per process
    notice: str | None


class ModelSource:
    """Asked before each call: the embedded engine has another address after a restart."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file: Path | None = settings.data_dir / "model.json" if settings.embedded else None
        self._lock = threading.Lock()
        self._read_at: int | None = None
        self._engine: EmbeddedEngine | None = None

    def endpoints(self) -> list[Endpoint]:
        """Those to try; none while the embedded engine is loading."""
        settings = self._settings
        if self._file is None:
            return [Endpoint(url, settings.model_api_key, settings.model_name) for url in settings.model_api_url]
        engine = self.engine()
        return [Endpoint(engine.url, engine.key, engine.name)] if engine else []

    def facts(self) -> ModelFacts:
        settings = self._settings
        engine = self.engine()
        if engine is None:
            limit = settings.model_max_concurrent or (2 if settings.embedded else 512)
            return ModelFacts(settings.model_name, settings.model_context_tokens, limit, None)
        return ModelFacts(
            name=engine.name,
            context_tokens=min(settings.model_context_tokens, engine.context_tokens),
            max_concurrent=settings.model_max_concurrent or engine.slots,
            notice="演示模型：只会回答少量固定的问题，请接入 Cogito 模型" if engine.demo else None,
        )

    def engine(self) -> EmbeddedEngine | None:
        """The embedded engine, read again when its file has changed."""
        if self._file is None:
            return None
        try:
            written = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        with self._lock:
            if written != self._read_at:
                self._engine, self._read_at = read_rendezvous(self._file), written
            return self._engine
