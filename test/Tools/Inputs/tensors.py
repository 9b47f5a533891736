"""tensors.py DIR [check]: small safetensors and npy files, with no library."""
import json
import random
import struct
import sys

folder = sys.argv[1]
shape = [1, 128, 1, 16]
count = 128 * 16


def safetensors(path, tensors):
    header, blob = {}, b""
    for name, (dtype, dims, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": dims,
                        "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + blob)


def npy(path, dims, data):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(dims)}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    open(path, "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
                           + text.encode() + data)


if len(sys.argv) > 2:
    raw = open(folder + "/c.safetensors", "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8:8 + size])["out"]
    assert entry["dtype"] == "F32" and entry["shape"] == shape, entry
    body = raw[8 + size:]
    assert body == open(folder + "/a.npy", "rb").read()[-len(body):]
    sys.exit(0)

random.seed(1)
data = {n: struct.pack(f"<{count}f", *(random.gauss(0, 1) for _ in range(count)))
        for n in "qkv"}
tensors = {n: ("F32", shape, d) for n, d in data.items()}
safetensors(folder + "/small.safetensors", tensors)
raw = open(folder + "/small.safetensors", "rb").read()
open(folder + "/cut.safetensors", "wb").write(raw[:-100])
mask = bytes(i % 5 != 0 for i in range(128))
safetensors(folder + "/masked.safetensors",
            {**tensors, "key_mask": ("BOOL", [1, 128], mask)})
for n, d in data.items():
    npy(f"{folder}/{n}.npy", shape, d)
