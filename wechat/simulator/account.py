"""An official account as its owner has set it up in the console, and the switches of the desk."""

from dataclasses import dataclass


@dataclass
class Account:
    """Where pushes go and in what form, what the account may do, and what goes wrong on the way."""

    appid: str
    callback: str = ""  # URL; empty: pushes are switched off
    token: str = ""
    aes_key: str = ""
    mode: str = "plain"  # plain, compatible, safe, cloud
    form: str = "xml"  # xml, json
    name: str = "gh_desk0000000001"  # the account's raw id
    title: str = "AI 助手"

    may_push: bool = False  # verified: customer-service messages are allowed
    attempts: int = 3
    cut_seconds: float = 5.0
    overlap: bool = False  # deliver again before the line is closed
    slow_seconds: float = 0.0  # on the way to the server
    lose_replies: int = 0  # so many replies to come never arrive
    mute_after: int = 0  # failed deliveries within five minutes after which nothing is delivered for one; 0: never
    counts_reset: bool = True  # each message of the user allows five more
    allowed_ips: tuple[str, ...] | None = None  # the IP whitelist; None: off
    open_api: tuple[str, ...] | None = None  # cloud hosting: paths that need no token; None: off
