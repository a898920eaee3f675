"""The weights of an encoder: in which files they are, and the shapes of their tensors."""

from collections.abc import Iterable, Mapping
from shlex import quote

from trainers.encoders.encoder import EncoderError
from trainers.encoders.files import ADAPTER, PICKLE, PICKLE_INDEX, WEIGHTS, WEIGHTS_INDEX, Folder, is_any

Shapes = dict[str, list[int]]
"""The shape of each tensor by its name."""

# What weights are; others, such as I8, mean nothing without what they were quantized with.
NUMBERS = ("F16", "BF16", "F32", "F64")

# A header of a hundred thousand tensors is smaller.
MOST_HEADER_BYTES = 2**23

# Names of other formats.
OTHERS = ("*.h5", "*.msgpack", "*.gguf", "*.onnx", "*.pt", "*.pth", "*.bin", "*.ckpt*", "*.safetensors")


def weights(sizes: Mapping[str, int], small: Folder) -> list[str]:
    """The files that transformers loads weights from: one, or those that an index names.

    Args:
        sizes: all files.
        small: the folder with the index.

    Raises:
        EncoderError: there are none, or some are missing.
    """
    if ADAPTER in sizes:
        base = small.read_json(ADAPTER).get("base_model_name_or_path") if ADAPTER in small.sizes else None
        raise EncoderError(
            f"it has an {ADAPTER}, and an adapter{f' of {base}' if base else ''} is no encoder: merge it into its base"
            f" model (merge_and_unload of the library peft) and save that; remove {ADAPTER} if the weights are whole"
        )
    if WEIGHTS in sizes:
        return [WEIGHTS]
    if WEIGHTS_INDEX in sizes:
        return shards(sizes, small, WEIGHTS_INDEX)
    others = sorted(name for name in sizes if is_any(name, OTHERS))
    if is_pickled(sizes):
        raise EncoderError(
            f"it has no {WEIGHTS}, only pickles, which can run code; `allasprak convert {quote(str(small.path))}`"
            " writes their tensors as safetensors beside them"
        )
    raise EncoderError(f"it has no {WEIGHTS}" + (f", only {', '.join(others[:3])}" if others else ""))


def named_by(small: Folder, index: str) -> list[str]:
    """The files that an index names. EncoderError if it is no index."""
    places = small.read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise EncoderError(f"{index} has no weight_map from tensors to files")
    return sorted(set(places.values()))


def shards(sizes: Mapping[str, int], small: Folder, index: str) -> list[str]:
    """The files that an index names. EncoderError if it is no index, or some of them are missing."""
    named = named_by(small, index)
    if missing := [name for name in named if name not in sizes]:
        raise EncoderError(
            f"{len(missing)} of the {len(named)} files that {index} names are missing: {missing[0]}, ..."
        )
    return named


def is_pickled(names: Iterable[str]) -> bool:
    """Whether there are weights as pickles, and no others, given the names of all files."""
    return {WEIGHTS, WEIGHTS_INDEX}.isdisjoint(names) and not {PICKLE, PICKLE_INDEX}.isdisjoint(names)


def pickled(sizes: Mapping[str, int], small: Folder) -> list[str]:
    """The files with weights as pickles, where there are any. EncoderError if some are missing."""
    return [PICKLE] if PICKLE in sizes else shards(sizes, small, PICKLE_INDEX)


def local_shapes(folder: Folder, name: str) -> Shapes:
    """The tensors in a file of weights in a folder, of which only the header is read."""
    from safetensors import SafetensorError, safe_open

    length = int.from_bytes(folder.beginning(name), "little")
    if MOST_HEADER_BYTES < length < folder.sizes[name]:
        raise EncoderError(f"{name} has a header of {length} bytes; allowed: up to {MOST_HEADER_BYTES}")
    try:
        with safe_open(folder.path / name, framework="numpy") as file:
            found = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            for key, one in found.items():
                if key.endswith("weight") and one.get_dtype() not in NUMBERS:
                    raise EncoderError(
                        f"{name} has {key} as {one.get_dtype()}, which is quantized or no weight; allowed:"
                        f" {', '.join(NUMBERS)}"
                    )
            return {key: list(one.get_shape()) for key, one in found.items()}
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{name} is damaged or incomplete ({error}); copy it again") from error
