"""Gradio's page, with a check of its own where Gradio has none."""

from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client.utils import traverse  # type: ignore[import-untyped]

from admin.look import storable
from admin.wording import SENTENCES
from core.errors import InvalidMessage


class Page(gr.Blocks):
    """Blocks that take a file only if it was uploaded, and text only as it can be stored and told.

    Whatever a request names as a file, in whatever field, Gradio fetches for it: from other sites, and, as it looks
    where a file comes from only after `launch()`, from anywhere on this machine.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *rest: Any, **options: Any) -> Any:
        inputs = traverse(inputs, _checked, lambda one: isinstance(one, str) or _names_a_file(one))
        return await super().preprocess_data(block_fn, inputs, *rest, **options)


def _names_a_file(given: Any) -> bool:
    """Whatever a component may take for a file: Gradio marks its own, but reads those without a mark as well."""
    return isinstance(given, dict) and ("path" in given or "url" in given)


def _checked(given: Any) -> Any:
    if isinstance(given, str):
        return storable(given)
    path = given.get("path")
    if not isinstance(path, str) or not is_in_or_equal(path, get_upload_folder()):
        raise gr.Error(SENTENCES[InvalidMessage], title="没有完成", print_exception=False)
    return given
