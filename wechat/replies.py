"""A passive reply as WeChat wants it: wechatpy's reply classes for XML, the same keys for JSON."""

import time

import orjson
from wechatpy.replies import BaseReply, TextReply, TransferCustomerServiceReply

from wechat import phrases
from wechat.messages import Form, Push, cdata

WORDLESS = "success"


def render(reply: str, push: Push, form: Form) -> str:
    """What is written into the response, before it is encrypted; `success` where nothing is to be shown."""
    if reply == phrases.SUCCESS:
        return WORDLESS
    transfer = reply == phrases.TRANSFER
    now = int(time.time())
    if form is Form.JSON:
        values = {"ToUserName": push.sender, "FromUserName": push.receiver, "CreateTime": now}
        content = {"MsgType": "transfer_customer_service"} if transfer else {"MsgType": "text", "Content": reply}
        return orjson.dumps(values | content).decode()
    # wechatpy writes what it is given between CDATA marks, unescaped.
    names = {"source": cdata(push.receiver), "target": cdata(push.sender), "time": now}
    shown: BaseReply = TransferCustomerServiceReply(**names) if transfer else TextReply(content=cdata(reply), **names)
    return str(shown.render())
