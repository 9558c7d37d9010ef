"""Fill a torch module with weights that depend only on each entry's state-dict name and shape.

    fill_(net, prefix="rcnet.contact_net.")   # in place, returns net;   digest(net) -> short check value

Rules (n = torch.randn, CPU generator seeded with crc32(name), drawn in the entry's own shape):
  integer entries            left alone          *running_mean   0.1 n       *running_var   1 + 0.1 |n|
  1-d *weight (norms)        1 + 0.1 n           other 1-d (biases)  0.1 n   2-d embeddings 0.1 n
  4-d conv weight            n sqrt(2 / fan_in)
  sparse conv `kernel`, (K, Cin, Cout) or (Cin, Cout)    n sqrt(2 / fan_in), fan_in from _sparse_fan
  all other weights (linear, conv1d)                     n / sqrt(fan_in)
then times the first matching factor of _SCALE, plus _OFFSET: they keep the full-size network's activations
O(1), put the predicted root in front of the camera and most voxels in the background class.
Names are those of the reference's full state dict ("rcnet...", "metro_enhanced..."); `prefix` lets a
sub-module be filled as it would be inside the full net, `rename` maps another key scheme to it.
"""

import math
import re
import zlib

import torch

_SCALE = [
    (r"branches\..*\.conv2\.weight$", 0.2),  # last conv of a residual branch (basic block)
    (r"(layer1|incre_modules)\..*\.conv3\.weight$", 0.25),  # same, bottleneck block
    (r"(fuse_layers\..*|final_layer\.0|residual)\.weight$", 0.2),  # 2-d and 4-d entries
    (r"net\.3\.kernel$", 0.3),  # last conv of a sparse residual block
    (r"out_conv\.weight$", 0.1),
]
_OFFSET = [  # (name pattern, shape, index, value)
    (r"out_conv\.bias$", (41,), 1, -1.0),  # root-depth channel
    (r"contact_net\.classifier\.0\.bias$", (12,), 4, 2.2),  # background class of the voxel segmentation
]


def _sparse_fan(name, shape):
    if len(shape) == 2:
        return shape[0]
    if re.search(r"up\d\.0\.net\.0\.kernel$", name):  # transposed, stride = kernel: one tap per output
        return shape[1]
    return max(1.0, shape[0] * 0.4) * shape[1]  # about 40 % of the taps hit an occupied voxel


def value(name, shape):
    shape = tuple(shape)
    g = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    n = torch.randn(shape, generator=g, dtype=torch.float32)
    if name.endswith("running_mean"):
        return 0.1 * n
    if name.endswith("running_var"):
        return 1 + 0.1 * n.abs()
    if len(shape) <= 1:
        v = 1 + 0.1 * n if name.endswith("weight") else 0.1 * n
        for pat, shp, idx, off in _OFFSET:
            if re.search(pat, name) and shape == shp:
                v[idx] += off
        return v
    if "embeddings" in name:
        return 0.1 * n
    if name.endswith("kernel"):
        v = n * math.sqrt(2.0 / _sparse_fan(name, shape))
    else:
        v = n * math.sqrt((2.0 if len(shape) == 4 else 1.0) / (shape[1] * math.prod(shape[2:])))
    return next((v * s for pat, s in _SCALE if re.search(pat, name)), v)


@torch.no_grad()
def fill_(module, prefix="", rename=lambda k: k):
    for k, t in module.state_dict(keep_vars=True).items():
        if t.is_floating_point():
            t.copy_(value(prefix + rename(k), t.shape).to(t))
    return module


def digest(module):
    """crc32 over key + float32 bytes of every float entry, in sorted key order."""
    c = 0
    for k, t in sorted(module.state_dict().items()):
        if t.is_floating_point():
            c = zlib.crc32(t.detach().float().cpu().contiguous().numpy().tobytes(), zlib.crc32(k.encode(), c))
    return f"{c:08x}"
