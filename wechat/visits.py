"""A delivery that is being answered."""

import time
from dataclasses import dataclass

from core.store.deliveries import Arrival
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

    @property
    def last(self) -> bool:
        """WeChat's clock says that it will not come again."""
        return self.age >= LAST_AFTER_SECONDS
