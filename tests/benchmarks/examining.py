"""Examining an encoder of XLM-R large's shape as a submission does: 2.2 GB of weights, 250,002 tokens."""

import json
import math
import os
import resource
import tempfile
import time
from pathlib import Path

from side_by_side import parser, print_table

from children import children
from trainers.encoders.by_name import find_encoder
from trainers.encoders.encoder import Need
from trainers.tasks import TASKS

POSITIONS, TOKENS, SPECIAL = 514, 250_002, ["<s>", "<pad>", "</s>", "<unk>"]


def main() -> None:
    """Write, examine, time, print."""
    arguments = parser(__doc__).parse_args()
    hidden, layers, tokens = (32, 2, 1000) if arguments.quick else (1024, 24, TOKENS)
    rows: list[list[object]] = []
    before = _megabytes()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "first", hidden=64, layers=1, tokens=1000)
        write(root / "large", hidden=hidden, layers=layers, tokens=tokens)
        rows += timed("a tiny one, while the process starts", root / "first", root)
        rows += timed("XLM-R large's shape", root / "large", root)
        rows += timed("the same again", root / "large", root)
    [examiner] = children("trainers.encoders.architecture")
    memory = examiner.memory_full_info()
    print(f"This process: {before:.0f} MB before, {_megabytes():.0f} MB at the peak.")
    print(f"That with torch: {memory.uss / 2**20:.0f} MB, {memory.rss / 2**20:.0f} MB with the pages of its libraries.")
    print("Targets: 1 s and 300 MB. The digest reads all of the weights, once for a folder that does not change.")
    print("--quick: NOT a measurement\n" if arguments.quick else "")
    print_table(["encoder", "examined, s", "digest, s"], rows)


def timed(what: str, folder: Path, home: Path) -> list[list[object]]:
    """A row: seconds to examine, and to compute the digest."""
    need = Need(task="ner", heads={name: task.model_class for name, task in TASKS.items()}, max_length=128)
    encoder = find_encoder(str(folder), home)
    begin = time.perf_counter()
    encoder.examine(need)
    examined = time.perf_counter()
    assert encoder.digest
    return [[what, f"{examined - begin:.2f}", f"{time.perf_counter() - examined:.2f}"]]


def write(folder: Path, hidden: int, layers: int, tokens: int) -> None:
    """An XLM-R whose weights are zeros that take no room on the disk."""
    folder.mkdir()
    config = {
        "model_type": "xlm-roberta", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 16,
        "intermediate_size": 4 * hidden, "max_position_embeddings": POSITIONS, "vocab_size": tokens,
        "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    header, place = {}, 0
    for name, shape in shapes(hidden, layers, tokens).items():
        end = place + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(folder / "model.safetensors", 8 + len(text) + place)
    vocabulary = [[token, 0.0] for token in SPECIAL] + [[f"▁{place:x}", -9.5] for place in range(tokens - len(SPECIAL))]
    tokenizer = {"version": "1.0", "added_tokens": [], "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))


def shapes(hidden: int, layers: int, tokens: int) -> dict[str, tuple[int, ...]]:
    """The tensors of an XLM-R."""
    embeddings = {"word_embeddings": tokens, "position_embeddings": POSITIONS, "token_type_embeddings": 1}
    found: dict[str, tuple[int, ...]] = {
        f"embeddings.{name}.weight": (rows, hidden) for name, rows in embeddings.items()
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        root = f"encoder.layer.{layer}"
        linear = dict.fromkeys(("attention.self.query", "attention.self.key", "attention.self.value"), (hidden, hidden))
        linear |= {"attention.output.dense": (hidden, hidden), "intermediate.dense": (4 * hidden, hidden)}
        linear |= {"output.dense": (hidden, 4 * hidden)}
        for name, shape in linear.items():
            found |= {f"{root}.{name}.weight": shape, f"{root}.{name}.bias": shape[:1]}
        norms += [f"{root}.attention.output.LayerNorm", f"{root}.output.LayerNorm"]
    return found | {f"{name}.{part}": (hidden,) for name in norms for part in ("weight", "bias")}


def _megabytes() -> float:
    """The process's peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
