"""How WeChat refuses."""

ERRMSG = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40007: "invalid media_id",
    40008: "invalid message type",
    40013: "invalid appid",
    40014: "invalid access_token",
    40029: "invalid code",
    40125: "invalid appsecret",
    40129: "invalid scene",
    40163: "code been used",
    40164: "invalid ip {ip} ipv6 ::ffff:{ip}, not in whitelist",
    40226: "code blocked",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    42001: "access_token expired",
    43002: "require POST method",
    43004: "require subscribe",
    43019: "require remove blacklist",
    43104: "appid does not match openid",
    44002: "empty post data",
    44004: "empty content",
    45002: "content size out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    45015: "response out of time limit or subscription is canceled",
    45047: "out of response count limit",
    45072: "command not in ('Typing','CancelTyping')",
    45080: "pls send msg to user first",
    45081: "already in typing status, pls retry later",
    46003: "menu no exist",
    47001: "data format error",
    48001: "api unauthorized",
    48002: "user not agree mass-send protocol",
    48004: "api forbidden for irregularities",
    50002: "user limited",
    61010: "code is expired",
    65301: "menu not exist",
    70000: "minor protection",
    85107: "api not in the list of the open api service",
}


class Refused(Exception):
    """WeChat's way to say no: HTTP 200 with an errcode."""

    def __init__(self, errcode: int) -> None:
        super().__init__(errcode)
        self.errcode = errcode
