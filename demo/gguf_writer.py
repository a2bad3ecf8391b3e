"""Write a Llama-architecture GGUF file with the standard library alone.

`train.py` exports the demo model through it; the tests generate a tiny random model with it, and so need
neither numpy nor the gguf package. The layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

Rows = Sequence[Sequence[float]]
Value = str | bool | int | float | Sequence[str] | Sequence[int]

TEMPLATE = Path(__file__).with_name("chat_template.jinja")
SPECIALS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|finetune_right_pad_id|>",
)

_ALIGNMENT = 32
_BLOCK = 32  # weights sharing one scale in q8_0
_F32, _F16, _Q8_0 = 0, 1, 8  # ggml's numbers of the tensor types
_FILE_TYPES = {_F16: 1, _Q8_0: 7}
_NORMAL, _CONTROL = 1, 3  # llama.cpp's token types


@dataclass(frozen=True)
class Shape:
    """The hyperparameters of a Llama."""

    context: int
    width: int
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    rope_base: float = 500_000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def byte_alphabet() -> list[str]:
    """The 256 printable characters byte-level BPE writes bytes with (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [table[byte] for byte in range(256)]


def write_model(
    path: Path,
    shape: Shape,
    weights: Mapping[str, Rows | Sequence[float]],
    tokens: Sequence[str],
    merges: Sequence[str],
    *,
    name: str,
    quantize: bool = False,
    temperature: float | None = None,
) -> None:
    """Write `weights`, named and laid out as Hugging Face does, as f16 or (`quantize`) q8_0.

    `temperature` becomes the default the engine samples with when a request names none.
    """
    kind = _Q8_0 if quantize else _F16
    metadata = _metadata(shape, tokens, merges, name) | {"general.file_type": _FILE_TYPES[kind]}
    if temperature is not None:
        metadata["general.sampling.temp"] = temperature
    tensors = [
        _tensor(new, _interleave(weights[old], heads) if heads else weights[old], kind)
        for old, new, heads in _tensor_names(shape)
    ]
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, value in metadata.items():
            file.write(_string(key) + _typed(value))
        offset = 0
        for title, sizes, tensor_kind, data in tensors:
            # ggml counts dimensions from the fastest, the reverse of everybody else.
            numbers = struct.pack(f"<I{len(sizes)}Q", len(sizes), *reversed(sizes))
            file.write(_string(title) + numbers + struct.pack("<IQ", tensor_kind, offset))
            offset += len(data) + -len(data) % _ALIGNMENT
        _pad(file)
        for *_, data in tensors:
            file.write(data)
            _pad(file)


def write_random_model(path: Path, context: int = 32_768, seed: int = 0) -> None:
    """Write a tiny model that babbles: enough to test loading, streaming and cancelling."""
    shape = Shape(context=context, width=64, layers=2, hidden=128, heads=4, kv_heads=2)
    chance = random.Random(seed)
    # llama.cpp refuses a BPE vocabulary without a single merge.
    tokens = [*byte_alphabet(), "Ġa", *SPECIALS]

    def matrix(rows: int, columns: int) -> Rows:
        return [[chance.gauss(0, 0.05) for _ in range(columns)] for _ in range(rows)]

    ones = [1.0] * shape.width
    kv_width = shape.head_width * shape.kv_heads
    weights: dict[str, Rows | Sequence[float]] = {
        "model.embed_tokens.weight": matrix(len(tokens), shape.width),
        "model.norm.weight": ones,
    }
    for layer in range(shape.layers):
        at = f"model.layers.{layer}."
        weights |= {
            at + "input_layernorm.weight": ones,
            at + "post_attention_layernorm.weight": ones,
            at + "self_attn.q_proj.weight": matrix(shape.width, shape.width),
            at + "self_attn.k_proj.weight": matrix(kv_width, shape.width),
            at + "self_attn.v_proj.weight": matrix(kv_width, shape.width),
            at + "self_attn.o_proj.weight": matrix(shape.width, shape.width),
            at + "mlp.gate_proj.weight": matrix(shape.hidden, shape.width),
            at + "mlp.up_proj.weight": matrix(shape.hidden, shape.width),
            at + "mlp.down_proj.weight": matrix(shape.width, shape.hidden),
        }
    write_model(path, shape, weights, tokens, ["Ġ a"], name="tiny-random")


def _metadata(shape: Shape, tokens: Sequence[str], merges: Sequence[str], name: str) -> dict[str, Value]:
    number = {token: n for n, token in enumerate(tokens)}
    return {
        "general.architecture": "llama",
        "general.name": name,
        "llama.block_count": shape.layers,
        "llama.context_length": shape.context,
        "llama.embedding_length": shape.width,
        "llama.feed_forward_length": shape.hidden,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": shape.epsilon,
        "llama.rope.freq_base": shape.rope_base,
        "llama.rope.dimension_count": shape.head_width,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_CONTROL if token in SPECIALS else _NORMAL for token in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": number["<|begin_of_text|>"],
        "tokenizer.ggml.eos_token_id": number["<|eot_id|>"],
        "tokenizer.ggml.eot_token_id": number["<|eot_id|>"],
        "tokenizer.ggml.padding_token_id": number["<|finetune_right_pad_id|>"],
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": TEMPLATE.read_text(encoding="utf-8"),
    }


def _tensor_names(shape: Shape) -> list[tuple[str, str, int]]:
    """Hugging Face's name, llama.cpp's, and the number of heads whose rows must be interleaved (or 0)."""
    names = [
        ("model.embed_tokens.weight", "token_embd.weight", 0),  # tied: it is the output matrix as well
        ("model.norm.weight", "output_norm.weight", 0),
    ]
    for layer in range(shape.layers):
        old, new = f"model.layers.{layer}.", f"blk.{layer}."
        names += [
            (old + "input_layernorm.weight", new + "attn_norm.weight", 0),
            (old + "post_attention_layernorm.weight", new + "ffn_norm.weight", 0),
            (old + "self_attn.q_proj.weight", new + "attn_q.weight", shape.heads),
            (old + "self_attn.k_proj.weight", new + "attn_k.weight", shape.kv_heads),
            (old + "self_attn.v_proj.weight", new + "attn_v.weight", 0),
            (old + "self_attn.o_proj.weight", new + "attn_output.weight", 0),
            (old + "mlp.gate_proj.weight", new + "ffn_gate.weight", 0),
            (old + "mlp.up_proj.weight", new + "ffn_up.weight", 0),
            (old + "mlp.down_proj.weight", new + "ffn_down.weight", 0),
        ]
    return names


def _interleave(rows: Rows | Sequence[float], heads: int) -> Rows:
    """Hugging Face rotates the halves of a head against each other, llama.cpp neighbouring rows."""
    half = len(rows) // heads // 2
    order = [head * 2 * half + side * half + n for head in range(heads) for n in range(half) for side in (0, 1)]
    return [rows[n] for n in order]  # type: ignore[misc]


def _tensor(name: str, weight: Rows | Sequence[float], kind: int) -> tuple[str, tuple[int, ...], int, bytes]:
    if isinstance(weight[0], float):  # norms stay exact
        return name, (len(weight),), _F32, struct.pack(f"<{len(weight)}f", *weight)
    rows: Rows = weight  # type: ignore[assignment]
    encode = _q8_0 if kind == _Q8_0 else _f16
    return name, (len(rows), len(rows[0])), kind, b"".join(encode(row) for row in rows)


def _f16(row: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(row)}e", *row)


def _q8_0(row: Sequence[float]) -> bytes:
    """Blocks of 32: one f16 scale, then 32 signed bytes."""
    blocks = []
    for start in range(0, len(row), _BLOCK):
        block = row[start : start + _BLOCK]
        scale = max(map(abs, block)) / 127
        numbers = [round(weight / scale) for weight in block] if scale else [0] * _BLOCK
        blocks.append(struct.pack(f"<e{_BLOCK}b", scale, *numbers))
    return b"".join(blocks)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _typed(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    of_text = isinstance(value[0], str)
    items = b"".join(_string(item) if isinstance(item, str) else struct.pack("<i", item) for item in value)
    return struct.pack("<IIQ", 9, 8 if of_text else 5, len(value)) + items


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % _ALIGNMENT))


if __name__ == "__main__":
    write_random_model(Path("tiny-random.gguf"))
