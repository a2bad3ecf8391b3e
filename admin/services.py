"""What the tabs of the console are given to work with."""

from dataclasses import dataclass

from admin.access import Access
from admin.export import Exports
from core.database import Database
from core.engine import ChatEngine
from core.live import LiveContent
from core.model import CogitoModel
from core.model.source import ModelSource
from core.settings import Settings
from core.writers import Writers

CHANNEL = "console"  # of the turns staff ask here


@dataclass(frozen=True)
class Services:
    """Built in `app.py`, handed to every tab."""

    settings: Settings
    database: Database
    access: Access
    engine: ChatEngine
    writers: Writers
    live: LiveContent
    model: CogitoModel
    source: ModelSource
    exports: Exports
