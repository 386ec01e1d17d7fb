"""Records torch's antialiased bicubic interpolation of position embeddings: tests/data/positions.safetensors.

Usage: python3 tests/tools/record_positions.py OUT   (needs torch and safetensors)
"""
import sys

import torch
from safetensors.torch import save_file

torch.manual_seed(1)
WIDTH = 2
tensors = {}
for old, new in [(7, 12), (7, 3), (4, 9), (9, 4), (1, 3)]:
    positions = tensors.setdefault(f"in_{old}", torch.randn(1 + old * old, WIDTH))
    grid = positions[1:].reshape(1, old, old, WIDTH).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=(new, new), mode="bicubic", antialias=True, align_corners=False)
    grid = grid.permute(0, 2, 3, 1).reshape(new * new, WIDTH)
    tensors[f"out_{old}_{new}"] = torch.cat([positions[:1], grid]).contiguous()
save_file(tensors, sys.argv[1])
