"""A WeChat for the desk: plays api.weixin.qq.com and the phone in front of it, on loopback only.

    world.py           what WeChat remembers: accounts, codes, tokens, its clock, faults to come
    platform_api.py    the side our server calls, by WeChat's own rules
    desk.py            the side that stands for a phone and for chance: log in, move the clock, inject faults
    app.py             both as one Flask app

Its state lives in the memory of one process, on purpose: it is WeChat that is one, not we.
"""

from wechat.simulator.app import create_simulator

__all__ = ["create_simulator"]
