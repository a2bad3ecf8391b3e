"""The official account, put together."""

from collections.abc import Callable

from flask import Blueprint

from core.alerts import Alerts
from core.database import Database
from core.engine import ChatEngine
from core.settings import Settings
from core.speech import Speech
from core.writers import Writers
from wechat.callback import callback_api
from wechat.composing import Composer
from wechat.delivery import Delivery
from wechat.messaging import Messaging
from wechat.platform import WeChatPlatform
from wechat.pushing import Pusher
from wechat.reception import Reception
from wechat.voice import Listener
from wechat.waiting import Waiting

STOP_SECONDS = 4.0


def official_platform(settings: Settings, database: Database) -> WeChatPlatform:
    """The client of the official account."""
    return WeChatPlatform(
        settings.platform_url,
        appid=settings.official_appid,
        secret=settings.official_secret,
        database=database,
        open_api=settings.wechat_cloud and not settings.local,
    )


class OfficialAccount:
    """The callback, and what goes on beside it in each process."""

    def __init__(
        self,
        engine: ChatEngine,
        database: Database,
        writers: Writers,
        speech: Speech,
        alerts: Alerts,
        settings: Settings,
        messaged: Callable[[str], None],
    ) -> None:
        messaging = Messaging(official_platform(settings, database), messaged)
        waiting = Waiting(database)
        composer = Composer(settings, waiting)
        self._pushes = settings.wechat_customer_service
        self._delivery = Delivery(engine, database, settings, waiting, composer, alerts)
        self._pusher = Pusher(
            engine, database, messaging, composer, alerts, settings.official_appid, lambda: writers.process_id
        )
        listener = Listener(messaging, speech, database, lambda: writers.process_id)
        reception = Reception(engine, database, settings, self._delivery, listener, self._pusher.typing)
        self.api: Blueprint = callback_api(reception, settings)

    def start(self) -> None:
        """Begin what goes on beside the requests (after a fork, not before)."""
        self._delivery.pulse.start()
        if self._pushes:
            self._pusher.start()

    def stop(self) -> None:
        """Finish what is being pushed, before the process gives up its turns."""
        if self._pushes:
            self._pusher.stop(STOP_SECONDS)
