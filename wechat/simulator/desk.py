"""The desk's side: what a phone does by itself, and what chance does to a network.

POST   /desk/login    {openid?, unionid?, appid?}  →  {code, openid}      `wx.login`; no openid: somebody new
POST   /desk/clock    {advance: seconds}           →  {now}
POST   /desk/faults   {path, times?, delay?, errcode? | http_status? | html?}
DELETE /desk/faults
"""

from typing import Annotated, TypeVar

from flask import Blueprint, abort, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import HTTPException

from wechat.simulator.world import Fault, World

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


B = TypeVar("B", bound=Body)


class Login(Body):
    openid: Identifier | None = None
    unionid: Identifier | None = None
    appid: str | None = None


class Clock(Body):
    advance: Annotated[float, Field(ge=0, le=366 * 86400)]


class FaultToCome(Body):
    path: str
    times: Annotated[int, Field(ge=1)] = 1
    delay: Annotated[float, Field(ge=0, le=60)] = 0
    errcode: int | None = None
    http_status: Annotated[int, Field(ge=200, le=599)] | None = None
    html: bool = False


def desk(world: World) -> Blueprint:
    desk = Blueprint("desk", __name__, url_prefix="/desk")

    @desk.errorhandler(HTTPException)
    def explain(error: HTTPException) -> tuple[dict[str, str | None], int]:
        return {"error": error.description}, error.code or 500

    @desk.post("/login")
    def login() -> dict[str, str]:
        body = read(Login)
        appid = body.appid or next(iter(world.accounts))
        if appid not in world.accounts:
            abort(400, "模拟器不认识这个 appid。")
        code = world.login(appid, body.openid, body.unionid)
        return {"code": code.code, "openid": code.openid}

    @desk.post("/clock")
    def clock() -> dict[str, float]:
        return {"now": world.advance(read(Clock).advance)}

    @desk.post("/faults")
    def inject() -> tuple[str, int]:
        world.inject(Fault(**read(FaultToCome).model_dump()))
        return "", 204

    @desk.delete("/faults")
    def mend() -> tuple[str, int]:
        world.mend()
        return "", 204

    return desk


def read(kind: type[B]) -> B:
    try:
        return kind.model_validate_json(request.get_data() or b"{}")
    except ValidationError as error:
        wrong = {str(part) for detail in error.errors() for part in detail["loc"][:1]} or {"JSON"}
        abort(400, f"请求体不对：{'、'.join(sorted(wrong))}")
