#!/usr/bin/env python3
"""Writes tests/data/safetensors/*.safetensors with the reference implementation (needs safetensors 0.8, numpy, ml_dtypes).

  every_dtype.safetensors  a tensor of every common dtype, a scalar and an empty one, with metadata
  floats.safetensors       three f32 and u8 tensors, which write_safetensors() must write with the same bytes
"""
import pathlib

import ml_dtypes
import numpy as np
import safetensors.numpy

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "safetensors"
OUT.mkdir(exist_ok=True)

halves = np.array([0.0, -0.0, 1.0, -2.5, 65504.0, 6.1e-5, 5.9605e-8, -1e-6, float("inf"), float("nan")])
safetensors.numpy.save_file(
    {
        "f64": np.array([[1.5, -2.25]], dtype=np.float64),
        "f32": np.array([[1.5, -2.25, 3e38], [0.0, -0.0, 1e-45]], dtype=np.float32),
        "f16": halves.astype(np.float16),
        "bf16": np.array([1.0, -3.140625, 3e38]).astype(ml_dtypes.bfloat16),
        "f8": np.array([1.0, 2.0]).astype(ml_dtypes.float8_e4m3fn),
        "i64": np.array([-1, 2**40]),
        "i32": np.array([-1, 2**30], dtype=np.int32),
        "i16": np.array([-1, 300], dtype=np.int16),
        "i8": np.array([-1, 100], dtype=np.int8),
        "u8": np.array([0, 255], dtype=np.uint8),
        "bool": np.array([True, False]),
        "scalar": np.array(4.6052, dtype=np.float32),
        "empty": np.zeros((3, 0), dtype=np.float32),
        "naïve.ключ": np.ones(1, dtype=np.float32),
    },
    OUT / "every_dtype.safetensors",
    metadata={"format": "pt"},
)
safetensors.numpy.save_file(
    {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b.bias": np.array([-1.5], dtype=np.float32),
        "c": np.array([[1, 2, 250]], dtype=np.uint8),
    },
    OUT / "floats.safetensors",
    metadata={"format": "np"},
)
