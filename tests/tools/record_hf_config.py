#!/usr/bin/env python3
"""Writes tests/data/hf_config.txt: how transformers resolves configurations, and what it makes of pictures.

Needs transformers, numpy and pillow < 12.2 (see record_resample.py); transformers 4.57.1 and 5.24.0 write the same file.
A line is JSON. {"config", "resolved"}: a config.json and what CLIPConfig makes of it. {"preprocessor", "image_size",
"black", "white", "pictures"}: a preprocessor_config.json and what CLIPImageProcessor makes of a black picture and of a
white one (the three channels' values), and of record_resample.py's pictures: [style, seed, width, height, FNV-1a 64 of
the resized and cropped 8-bit pixels].
"""
import copy
import json
import pathlib

import numpy as np
import PIL
from transformers import CLIPConfig

try:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as Processor
except ImportError:
    from transformers import CLIPImageProcessor as Processor

from record_pictures import fnv1a
from record_resample import picture

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "hf_config.txt"
TEXT = dict(hidden_size="width", num_hidden_layers="layers", num_attention_heads="heads",
            max_position_embeddings="context_length", vocab_size="vocab_size", intermediate_size="mlp_width")
VISION = dict(hidden_size="width", num_hidden_layers="layers", num_attention_heads="heads", image_size="image_size",
              patch_size="patch_size", intermediate_size="mlp_width")
GELU = {"hidden_act": "gelu"}
CONFIGS = [
    {},
    {"text_config": GELU, "vision_config": GELU},
    # A *_dict wins, with its defaults too.
    {"text_config": {"hidden_act": "gelu", "hidden_size": 256}, "text_config_dict": {"num_hidden_layers": 3}},
    {"text_config": {"hidden_size": 256, "num_hidden_layers": 2}, "text_config_dict": GELU,
     "vision_config": {"image_size": 64}, "vision_config_dict": {"hidden_act": "gelu", "patch_size": 16}},
    {"vision_config": {"hidden_act": "gelu", "patch_size": 16}, "vision_config_dict": {}},
    {"text_config": {"hidden_size": 256, "num_attention_heads": 4}, "text_config_dict": None},
    {"text_config": None, "text_config_dict": {"intermediate_size": 100}},
    # The model projects to the outermost projection_dim.
    {"projection_dim": 64, "text_config": {"projection_dim": 32}, "vision_config": {"projection_dim": 16}},
    {"text_config_dict": {"projection_dim": 32}, "vision_config_dict": {"projection_dim": 32}},
    {"text_config": {"attention_dropout": 0.5}, "vision_config": {"attention_dropout": 0.1, "num_channels": 3}},
]
SQUARE = {"height": 48, "width": 48}
PREPROCESSORS = [
    {"size": 48, "crop_size": 48},
    {"size": {"shortest_edge": 48}, "crop_size": SQUARE, "resample": 2, "feature_extractor_type": "CLIPFeatureExtractor"},
    {"size": SQUARE, "do_center_crop": False},
    {"size": SQUARE, "do_center_crop": False, "resample": 2, "image_processor_type": "CLIPImageProcessor"},
    {"size": [48, 48], "crop_size": 48, "resample": 3},
    {"size": 48, "crop_size": 48, "image_mean": [0.5, 0.25, 0.75], "image_std": [0.5, 0.2, 1.0], "do_convert_rgb": False},
    {"size": 48, "crop_size": 48, "image_mean": 0.5, "image_std": 0.25},
    {"size": 48, "crop_size": 48, "do_normalize": False},
    {"size": 48, "crop_size": 48, "rescale_factor": 0.00392156862745098, "unknown_key": 7},
]


def resolve(config):
    resolved = CLIPConfig(**copy.deepcopy(config))
    sections = {}
    for name, section, keys in (("text", resolved.text_config, TEXT), ("vision", resolved.vision_config, VISION)):
        sections[name] = {ours: getattr(section, theirs) for theirs, ours in keys.items()}
        sections[name]["quick_gelu"] = section.hidden_act == "quick_gelu"
    return {"embed_dim": resolved.projection_dim, **sections}


def process(keys, line):
    processor = Processor(**copy.deepcopy(keys))
    pictures = []
    # Sizes whose crop lies in the middle of whole pixels, where open_clip and transformers agree.
    for i, (width, height) in enumerate([(96, 48), (50, 75), (48, 48), (200, 100), (31, 62), (7, 7)]):
        pixels = processor(picture(width, height, i % 3, i), do_rescale=False, do_normalize=False,
                           input_data_format="channels_last", data_format="channels_last", return_tensors="np")
        pixels = np.asarray(pixels["pixel_values"][0])
        if pixels.shape[0] == 3:  # transformers 5 has channels first whatever is asked for
            pixels = pixels.transpose(1, 2, 0)
        assert pixels.shape == (48, 48, 3) and (pixels == pixels.astype(np.uint8)).all()
        pictures.append([i % 3, i, width, height, f"{fnv1a(pixels.astype(np.uint8).tobytes()):016x}"])
    # Of pictures that are 0 and 255 all over, (0 - mean) / std and (1 - mean) / std.
    black, white = (np.asarray(processor(PIL.Image.new("RGB", (48, 48), c), return_tensors="np")["pixel_values"][0])
                    [:, 0, 0].astype(float) for c in ("black", "white"))
    return {**line, "black": black.tolist(), "white": white.tolist(), "pictures": pictures}


def main():
    assert tuple(map(int, PIL.__version__.split(".")[:2])) < (12, 2), f"Pillow {PIL.__version__} is too new"
    lines = [{"config": config, "resolved": resolve(config)} for config in CONFIGS]
    lines += [process(keys, {"preprocessor": keys, "image_size": 48}) for keys in PREPROCESSORS]
    OUT.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
