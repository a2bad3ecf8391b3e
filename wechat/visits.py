"""A delivery that is being answered."""

import time
from dataclasses import dataclass

from core.store.deliveries import Arrival
from core.tables import now_ms
from wechat.messages import Push

CHANNEL = "official"
LAST_AFTER_SECONDS = 9  # since the message was sent: WeChat's last delivery, however we counted


@dataclass
class Visit:
    """One delivery being answered."""

    push: Push
    arrival: Arrival
    by: float  # monotonic: when the reply must be on its way

    @property
    def age(self) -> float:
        """Seconds since the message was sent, by WeChat's clock."""
        return time.time() - self.push.created

    def within(self, seconds: float) -> bool:
        """Whether the message first came less than so many seconds ago.

        WeChat's clock tells whole seconds, and a busy process stores a message late: both have to say so.
        """
        return self.age - 1 < seconds and now_ms() - self.arrival.row.created_at < seconds * 1000

    @property
    def last(self) -> bool:
        """WeChat's clock says that it will not come again."""
        return self.age >= LAST_AFTER_SECONDS
