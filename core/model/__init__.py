"""The client of the language model: messages in, deltas out, from any OpenAI-compatible endpoint.

cogito      CogitoModel: what is asked, and whether anybody is there to be asked
completion  one answer: asked for, tried again until its first token, read, and left at any moment
endpoints   which of several endpoints is asked next
exchange    one request and its response
wire        connections that any thread may cut
sse         the events of a stream, and what they say: text, reasoning, usage, errors
source      where the model is: named by the settings, or our own engine (`core/embedded.py`)
"""

from core.model.cogito import THINKING, CogitoModel
from core.model.completion import Completion
from core.model.endpoints import Endpoint, EndpointState
from core.model.sse import strip_control_tokens
from core.model.wire import Cancelled

__all__ = [
    "THINKING",
    "Cancelled",
    "CogitoModel",
    "Completion",
    "Endpoint",
    "EndpointState",
    "strip_control_tokens",
]
