"""What the platform answers with: JSON, called text."""

from typing import Any

import orjson
from flask import Response


def answer(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), content_type="text/plain")
