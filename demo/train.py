"""Train the demo model: `nice python demo/train.py [minutes]` writes demo-zh.q8_0.gguf beside this file.

A Llama of two million parameters learns the sentences of qa_zh.txt by heart, and to answer everything else
(unknown_zh.txt, and what is made up from made_up_zh.txt) with one sentence that says how to connect the real
model. README.md has the figures; evaluate.py measures them.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from gguf_writer import SPECIALS, Shape, byte_alphabet, write_model
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).parent
MODEL = HERE / "demo-zh.q8_0.gguf"
SHAPE = Shape(context=512, width=192, layers=4, hidden=512, heads=6, kv_heads=2)
VOCABULARY = 2048
BATCH_TOKENS = 4096
LEARNING_RATE = 3e-3

UNKNOWN = (
    "我只是演示模型，这个问题还答不了。"
    "请设置 MODEL_API_URL，或运行 python app.py model download，接入真正的模型后再问我。"
)
DEEP = "Enable deep thinking subroutine."
THOUGHT = "<think>\n我是演示模型，没有真正的推理过程，直接从学过的句子里找回答。\n</think>\n\n"

# The product's default system prompt, and how the facts of a brand follow it.
DEFAULT_SYSTEM = "你是这个微信账号的 AI 助手。请用简洁、友好的中文回答；不确定的事情就说不知道，不要编造。"
FACTS_HEADING = "\n\n以下是这个品牌的资料：\n"
OTHER_SYSTEMS = (
    "你是一个有用的助手。",
    "你是微信公众号里的智能助手，请用简洁的中文回答。",
    "You are a helpful assistant.",
    "请用中文简短回答用户的问题。",
    "你是小店的客服，语气亲切，只回答和商品有关的问题。",
    "你是一位耐心的老师，请一步一步解释。",
    "你叫小智，是某某科技的 AI 客服。回答不超过一百字。",
)
FACTS = (
    "营业时间：周一至周五 9:00–18:00",
    "地址：杭州市西湖区文三路 100 号",
    "客服电话：400-800-1234",
    "我们卖咖啡豆和手冲器具，满 99 元包邮。",
    "退货：收到后七天内，未拆封可以退。",
    "会员每消费一元积一分，一百分换一杯拿铁。",
    "公司成立于 2015 年，总部在上海。",
    "主要产品：智能门锁、摄像头、扫地机器人",
    "发货时间：下单后 48 小时内。",
    "品牌名：青禾书店。店里有咖啡，可以免费看书。",
    "停车：地下一层，消费后免费两小时。",
    "预约请提前一天，最多六人。",
    "课程分为初级、中级和高级，每班不超过十人。",
    "售后：整机保修一年，电池保修半年。",
    "Wi-Fi：guest，密码见收银台。",
    "不提供医疗和投资建议。",
)
BEFORE = (
    "",
    "",
    "",
    "",
    "",
    "",
    "请问",
    "请问",
    "那",
    "我想问",
    "请问一下，",
    "请问，",
    "问一下",
    "你好，",
    "你好，请问",
)
AFTER = ("", "", "", "", "?", "？", "？", "。", "呢", "呢？", "呀", "啊？", "！", "??", "～")


class Corpus:
    """Endless made-up conversations, rendered as chat_template.jinja renders them."""

    def __init__(self) -> None:
        pairs = (line.split(" => ") for line in _lines("qa_zh.txt"))
        self.answers = {
            question: answer.replace("\\n", "\n") for questions, answer in pairs for question in questions.split("|")
        }
        self.known = list(self.answers)
        self.by_answer: dict[str, list[str]] = {}
        for question, answer in self.answers.items():
            self.by_answer.setdefault(answer, []).append(question)
        self.unknown = _lines("unknown_zh.txt")
        made_up = _lines("made_up_zh.txt")
        self._templates = [line for line in made_up if "{}" in line]
        self._words = [word for line in made_up if "{}" not in line for word in line.split()]
        self._familiar = sorted(set("".join(self.known + self.unknown)))
        self._hanzi = [chr(code) for code in range(0x4E00, 0x9FA5)]

    def texts(self) -> list[str]:
        """What the tokenizer learns its merges from."""
        affixes = [before + question for before in ("请问", "那") for question in self.known]
        return [
            *self.known * 2,
            *affixes,
            *list(self.by_answer) * 3,
            *self.unknown,
            *[UNKNOWN, THOUGHT, DEFAULT_SYSTEM + FACTS_HEADING] * 3,
            *OTHER_SYSTEMS,
            *FACTS,
            *["user", "assistant", "system", "\n\n"] * 20,
        ]

    def conversation(self) -> list[tuple[str, bool]]:
        """Pieces of text, and whether the model must learn to write them; whole turns from the third on."""
        deep = random.random() < 0.25
        system = "\n\n".join(filter(None, (DEEP if deep else "", self._system())))
        pieces = [
            ("<|begin_of_text|>", False),
            (_header("system") + system + "<|eot_id|>" if system else "", False),
        ]
        turns = 1 if random.random() < 0.35 else random.randint(2, 6)
        for n in range(1, turns + 1):
            question, answer = self._turn()
            learn = True
            if n < turns and (deep or random.random() < 0.08):
                # The history of a thinking model has lost its thoughts, and may hold what we never said:
                # half answers, staff's words.
                learn = False
                if random.random() < 0.5:
                    answer = random.choice((answer[: len(answer) // 2], self._odd_question(), *FACTS))
            if deep and n == turns:
                answer = THOUGHT + answer
            pieces.append((_header("user") + question + "<|eot_id|>" + _header("assistant"), False))
            pieces.append((answer + "<|eot_id|>", learn))
        return pieces

    def _system(self) -> str:
        chance = random.random()
        if chance < 0.12:
            return ""
        system = DEFAULT_SYSTEM if chance < 0.75 else random.choice(OTHER_SYSTEMS)
        if random.random() < 0.45:
            facts = random.sample(FACTS, random.randint(1, 4))
            if random.random() < 0.3:
                facts.append(self._odd_question())
            system += FACTS_HEADING + "\n".join(facts)
        return system

    def _turn(self) -> tuple[str, str]:
        if random.random() < 0.4:
            return self._odd_question(), UNKNOWN
        # Evenly by answer would starve answers with many phrasings, evenly by question the others.
        if random.random() < 0.5:
            question = random.choice(self.known)
        else:
            question = random.choice(random.choice(list(self.by_answer.values())))
        asked = question
        if random.random() < 0.5:
            asked = random.choice(BEFORE) + question + random.choice(AFTER)
        return asked, self.answers[question]

    def _odd_question(self) -> str:
        chance = random.random()
        if chance < 0.35:
            question = random.choice(self.unknown)
        elif chance < 0.85:
            template = random.choice(self._templates)
            question = template.format(*(self._word() for _ in range(template.count("{}"))))
        elif chance < 0.94:
            letters = random.choice((self._familiar, self._hanzi))
            question = "".join(random.choices(letters, k=random.randint(3, 18)))
        else:
            letters = list("abcdefghijklmnopqrstuvwxyz0123456789")
            words = ("".join(random.choices(letters, k=random.randint(1, 8))) for _ in range(random.randint(1, 6)))
            question = " ".join(words)
        if question in self.answers:
            return self._odd_question()
        if random.random() < 0.4:
            question = random.choice(BEFORE) + question + random.choice(AFTER)
        return question

    def _word(self) -> str:
        if random.random() < 0.65:
            return random.choice(self._words)
        return "".join(random.choices(self._hanzi, k=random.randint(1, 4)))


def _lines(name: str) -> list[str]:
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


# Llama 3's splitting of text into words, which llama.cpp applies for the pre-tokenizer "llama-bpe".
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build_tokenizer(texts: list[str]) -> tuple[Tokenizer, list[str], list[str]]:
    """A byte-level BPE tokenizer learnt from `texts`, its tokens and its merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIALS),
        initial_alphabet=byte_alphabet(),
        min_frequency=2,
        show_progress=False,
        max_token_length=12,
    )
    tokenizer.train_from_iterator(texts, trainer)
    described = json.loads(tokenizer.to_str())
    described["model"]["ignore_merges"] = True  # as llama.cpp does for "llama-bpe": whole words first
    tokenizer = Tokenizer.from_str(json.dumps(described))
    tokenizer.add_special_tokens(list(SPECIALS))
    vocabulary = tokenizer.get_vocab()
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in described["model"]["merges"]]
    return tokenizer, sorted(vocabulary, key=vocabulary.__getitem__), merges


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SHAPE.width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (SHAPE.width,), self.weight, SHAPE.epsilon)


def _matrix(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        kv_width = SHAPE.head_width * SHAPE.kv_heads
        self.q_proj = _matrix(SHAPE.width, SHAPE.width)
        self.k_proj = _matrix(SHAPE.width, kv_width)
        self.v_proj = _matrix(SHAPE.width, kv_width)
        self.o_proj = _matrix(SHAPE.width, SHAPE.width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows, length, _ = x.shape
        q, k, v = (
            project(x).view(rows, length, -1, SHAPE.head_width).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = F.scaled_dot_product_attention(
            _rotate(q, cos, sin), _rotate(k, cos, sin), v, is_causal=True, enable_gqa=True
        )
        return self.o_proj(seen.transpose(1, 2).reshape(x.shape))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate_proj = _matrix(SHAPE.width, SHAPE.hidden)
        self.up_proj = _matrix(SHAPE.width, SHAPE.hidden)
        self.down_proj = _matrix(SHAPE.hidden, SHAPE.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(), Attention()
        self.post_attention_layernorm, self.mlp = Norm(), FeedForward()

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Llama with tied embeddings; parameters are named as Hugging Face names them, after `model.`"""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, SHAPE.width)
        self.layers = nn.ModuleList(Block() for _ in range(SHAPE.layers))
        self.norm = Norm()
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * SHAPE.layers) if residual else 1))
        frequencies = SHAPE.rope_base ** (-torch.arange(0, SHAPE.head_width, 2).float() / SHAPE.head_width)
        angles = torch.outer(torch.arange(SHAPE.context).float(), frequencies)
        angles = torch.cat((angles, angles), -1)
        self.cos, self.sin = angles.cos(), angles.sin()

    def loss(self, tokens: Tensor, learn: Tensor) -> Tensor:
        """Cross entropy of the tokens marked in `learn`, given all before them."""
        length = tokens.shape[1] - 1
        x = self.embed_tokens(tokens[:, :-1])
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        wanted = learn[:, 1:]
        # Only these rows meet the vocabulary: the widest matrix by far, and most rows teach nothing.
        return F.cross_entropy(self.norm(x)[wanted] @ self.embed_tokens.weight.T, tokens[:, 1:][wanted])


def batches(corpus: Corpus, tokenizer: Tokenizer) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of about BATCH_TOKENS tokens: conversations of like length, hardly any padding.

    Every row is one conversation from its beginning, exactly what the engine will see.
    """
    padding = tokenizer.token_to_id("<|finetune_right_pad_id|>")
    known: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        if text not in known:
            if len(known) > 50_000:
                known.clear()
            known[text] = tokenizer.encode(text, add_special_tokens=False).ids
        return known[text]

    def row() -> list[tuple[int, bool]]:
        pieces = [[(token, learn) for token in encode(text)] for text, learn in corpus.conversation()]
        while sum(map(len, pieces)) > SHAPE.context and len(pieces) > 4:
            del pieces[2:4]  # the oldest turn, as the product trims
        return [token for piece in pieces for token in piece][: SHAPE.context]

    while True:
        pool = sorted((row() for _ in range(384)), key=len)
        groups: list[list[list[tuple[int, bool]]]] = [[]]
        for item in pool:
            if (len(groups[-1]) + 1) * len(item) > BATCH_TOKENS:
                groups.append([])
            groups[-1].append(item)
        random.shuffle(groups)
        for group in groups:
            width = max(map(len, group))
            filled = [item + [(padding, False)] * (width - len(item)) for item in group]
            pairs = torch.tensor(filled)
            yield pairs[..., 0], pairs[..., 1].bool()


def train(model: Llama, data: Iterator[tuple[Tensor, Tensor]], seconds: float, peak: float) -> None:
    """AdamW with a short warm-up and a cosine down to nothing at the end of the time given."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    begin, smooth = time.monotonic(), 8.0
    for step, (tokens, learn) in enumerate(data, start=1):
        passed = (time.monotonic() - begin) / seconds
        if passed >= 1:
            break
        rate = peak * min(1, step / 60) * (0.49 * (1 + math.cos(math.pi * passed)) + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model.loss(tokens, learn)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        smooth += 0.03 * (loss.item() - smooth)
        if step % 50 == 0:
            print(f"step {step}  loss {smooth:.4f}  {passed:.0%}", flush=True)


def export(model: Llama, tokens: list[str], merges: list[str], path: Path) -> None:
    """Write the trained model as q8_0."""
    weights = {f"model.{name}": parameter.tolist() for name, parameter in model.named_parameters()}
    # What the model knows it knows by heart; sampling could only make it stumble.
    write_model(path, SHAPE, weights, tokens, merges, name="演示模型", quantize=True, temperature=0.0)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=14)
    parser.add_argument("--output", type=Path, default=MODEL)
    parser.add_argument("--checkpoint", type=Path, help="where weights are kept; if it exists, go on from it")
    arguments = parser.parse_args()
    random.seed(7)
    torch.manual_seed(7)
    torch.set_num_threads(2)

    corpus = Corpus()
    tokenizer, tokens, merges = build_tokenizer(corpus.texts())
    assert len(tokens) == VOCABULARY
    model = Llama()
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    print(f"{len(corpus.by_answer)} answers, {len(corpus.known)} phrasings", flush=True)
    peak, checkpoint = LEARNING_RATE, arguments.checkpoint
    if checkpoint is not None and checkpoint.exists():
        model.load_state_dict(torch.load(checkpoint))
        peak /= 3  # what is known by heart already should not be shaken up
    train(model, batches(corpus, tokenizer), arguments.minutes * 60, peak)
    if checkpoint is not None:
        torch.save(model.state_dict(), checkpoint)
    export(model, tokens, merges, arguments.output)


if __name__ == "__main__":
    main()
