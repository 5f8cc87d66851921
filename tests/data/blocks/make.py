"""Writes the vectors of this folder. Needs numpy and the `gguf` Python package.

    python make.py LIBGGML_BASE

For every format: NAME.blocks, random blocks with edge scales, and NAME.f32, what `gguf.quants.dequantize` makes of them.
MXFP4's are made by `python make.py` alone, without the library.

values.f32 are floats, and NAME.quantized is what `ggml_quantize_chunk` of the shared library LIBGGML_BASE (a path to
libggml-base.so) makes of them without an importance matrix. `gguf.quants.quantize`, where it knows the format, must agree
but in the sign of a zero scale.
"""

import ctypes
import sys
from pathlib import Path

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type

HERE = Path(__file__).parent
NAMES = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()
# Where each format's scales start, in bytes of a block.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}
# Zero, negative zero, the smallest and the largest denormal, the smallest normal, the largest finite, infinity, NaN.
EDGES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0x7E00]


def blocks_of(name, random):
    elements, size = GGML_QUANT_SIZES[Type[name]]
    plain = 22 if elements == 32 else 6
    blocks = random.integers(0, 256, (len(EDGES) + plain, size), dtype=np.uint8)
    for at in SCALES[name]:
        scales = random.normal(0, 0.02, len(blocks)).astype(np.float16)
        scales[: len(EDGES)] = np.array(EDGES, np.uint16).view(np.float16)
        random.shuffle(scales[: len(EDGES)])
        blocks[:, at : at + 2] = scales.reshape(-1, 1).view(np.uint8)
    return blocks


def values(random):
    """Rows of 256 floats like those of weights, and rows that are hard to quantize."""
    rows = [random.normal(0, 0.02, 256) for _ in range(8)]
    rows += [random.laplace(0, 0.05, 256), random.uniform(0.1, 1, 256), random.uniform(-1, -0.1, 256)]
    rows += [np.zeros(256), np.full(256, 0.25), np.full(256, -0.25), np.full(256, -0.0)]
    rows += [np.where(np.arange(256) == 77, 3.0, 0.0), np.where(np.arange(256) % 64 == 5, -1e-3, 0.0)]
    # Scales that are denormal as binary16, or 0; large ones.
    rows += [random.normal(0, scale, 256) for scale in (1e-5, 1e-7, 1e-12, 1e3)]
    # Exact halves between two numbers, and both signs of the largest value.
    rows += [random.integers(-255, 256, 256) / 2, np.tile([7.0, -7.0, 3.5, 0.5], 64)]
    rows += [np.repeat(random.normal(0, 0.1, 16), 16), random.normal(0, 1, 256) * (random.random(256) < 0.05)]
    return np.array(rows, np.float32)


def reference(library, name, data):
    _, size = GGML_QUANT_SIZES[Type[name]]
    elements = GGML_QUANT_SIZES[Type[name]][0]
    out = np.zeros(data.size // elements * size, np.uint8)
    rows, width = data.shape
    written = library.ggml_quantize_chunk(
        ctypes.c_int(Type[name].value), data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(rows), ctypes.c_int64(width), None,
    )
    assert written == out.size, (name, written, out.size)
    return out


def mxfp4():
    """Vectors of MXFP4, with extreme exponents; values.f32 must exist."""
    random = np.random.default_rng(39)
    blocks = random.integers(0, 256, (32, 17), dtype=np.uint8)
    blocks[:8, 0] = [0, 1, 2, 127, 128, 253, 254, 255]
    blocks[8:, 0] = random.integers(110, 130, 24)
    data = np.frombuffer((HERE / "values.f32").read_bytes(), "<f4").reshape(-1, 256)
    (HERE / "MXFP4.blocks").write_bytes(blocks.tobytes())
    with np.errstate(over="ignore"):
        floats = quants.dequantize(blocks, Type.MXFP4)
    (HERE / "MXFP4.f32").write_bytes(floats.astype("<f4").tobytes())
    (HERE / "MXFP4.quantized").write_bytes(quants.quantize(data, Type.MXFP4).tobytes())


def main():
    library = ctypes.CDLL(sys.argv[1])
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    random = np.random.default_rng(20)
    for name in NAMES:
        blocks = blocks_of(name, random)
        (HERE / f"{name}.blocks").write_bytes(blocks.tobytes())
        with np.errstate(invalid="ignore", over="ignore"):
            floats = quants.dequantize(blocks, Type[name])
        (HERE / f"{name}.f32").write_bytes(floats.astype("<f4").tobytes())
    data = values(random)
    (HERE / "values.f32").write_bytes(data.astype("<f4").tobytes())
    for name in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]:
        blocks = reference(library, name, data)
        try:
            other = quants.quantize(data, Type[name])
        except NotImplementedError:
            other = blocks
        size = GGML_QUANT_SIZES[Type[name]][1]
        ours, theirs = blocks.reshape(-1, size), other.reshape(-1, size)
        zero = (ours[:, :2].copy().view(np.uint16) & 0x7FFF) == 0
        assert (zero | (ours == theirs)).all(), name
        (HERE / f"{name}.quantized").write_bytes(blocks.tobytes())


if len(sys.argv) > 1:
    main()
mxfp4()
