#!/usr/bin/env python3
"""Loads folders that `cuclip convert` wrote in the libraries they were written for, and compares with cuclip.

Usage: check_converted.py [--cuclip build/bin/cuclip] [--model RUN] FOLDER ...

A folder with config.json is loaded by transformers (CLIPModel and CLIPProcessor), any other by open_clip
(local-dir:FOLDER). Compared are token ids, the features of texts, and those of pictures, once with pictures of the
model's own size and once with pictures that have to be resized. cuclip's are those of RUN, or of the folder itself.
Needs torch, open_clip_torch, transformers, numpy, Pillow. Exits with 1 if ids differ, or features by more than 1e-5.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image

LIMIT = 1e-5  # of features of unit length: some tens of roundings of f32
TEXTS = ["a red circle", "A RED Circle!", "two   blue squares,\tand 17 green triangles", "wow! great!! (really?)",
         "it's we're they'll I'd don't", "a", "naïve café, ÜBER straße", "красный круг", "赤い円 🔴🔺", "x_y-z/w 3.14",
         "antidisestablishmentarianism floccinaucinihilipilification",
         "many words " * 60, "!" * 200, "¡¿ ~`^|\\ ¼ ½ ²"]
# As OpenAI spells it; open_clip's own tokeniser spells it otherwise.
SPECIAL = ["the end <|endoftext|> is not the end"]
# By open_clip and cuclip, not by transformers.
REPAIRED = ["“curly quotes” it’s", "fish &amp; chips", "schÃ¶n", "\x7f ﬁ", "１２ ａｂ"]


def run(cuclip, *arguments):
    return subprocess.run([cuclip, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def encode(cuclip, model, what, arguments):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "features.npy"
        run(cuclip, "encode", what, *arguments, "--out", out, "--model", model)
        return np.load(out)


def until_end(ids, end):
    ids = list(map(int, ids))
    return ids[:ids.index(end) + 1]


def unit(features):
    features = getattr(features, "pooler_output", features)  # what transformers 5 returns
    return torch.nn.functional.normalize(features, dim=-1).detach().numpy()


class Transformers:
    def __init__(self, folder):
        from transformers import CLIPImageProcessorPil, CLIPModel, CLIPProcessor
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.processor = CLIPProcessor.from_pretrained(folder)  # which resizes with torchvision, if that is installed
        self.pillow = CLIPImageProcessorPil.from_pretrained(folder)
        self.end = self.processor.tokenizer.eos_token_id
        self.own_texts = SPECIAL

    def ids(self, texts):
        return self.processor(text=texts, padding="max_length", truncation=True, return_tensors="pt")

    def texts(self, texts):
        return unit(self.model.get_text_features(**self.ids(texts)))

    def pictures(self, pictures):
        return unit(self.model.get_image_features(**self.pillow(images=pictures, return_tensors="pt")))

    def pictures_by_default(self, pictures):
        return unit(self.model.get_image_features(**self.processor(images=pictures, return_tensors="pt")))

    def token_ids(self, texts):
        return self.ids(texts)["input_ids"]


class OpenClip:
    def __init__(self, folder):
        import open_clip
        self.model, _, self.transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.end = self.model.vocab_size - 1
        self.own_texts = REPAIRED + (SPECIAL if isinstance(self.tokenizer, open_clip.tokenizer.HFTokenizer) else [])

    def token_ids(self, texts):
        return self.tokenizer(texts)

    def texts(self, texts):
        return unit(self.model.encode_text(self.tokenizer(texts)))

    def pictures(self, pictures):
        return unit(self.model.encode_image(torch.stack([self.transform(picture) for picture in pictures])))


def random_pictures(folder, sizes):
    rng = np.random.default_rng(1)
    paths = []
    for i, (width, height) in enumerate(sizes):
        small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(small).resize((width, height))).astype(int)
        picture = (picture + rng.integers(-20, 21, picture.shape)).clip(0, 255).astype(np.uint8)
        paths.append(pathlib.Path(folder) / f"{i}.png")
        Image.fromarray(picture).save(paths[-1])
    return paths


def check(cuclip, model, folder):
    library = Transformers(folder) if (folder / "config.json").exists() else OpenClip(folder)
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    texts = TEXTS + library.own_texts
    merges = next(folder / name for name in ("merges.txt", "tokenizer.txt.gz") if (folder / name).exists())
    length = config["text_cfg"]["context_length"]
    wrong = 0
    for text, row in zip(texts, library.token_ids(texts)):
        ids = json.loads(run(cuclip, "tokenizer", "encode", text, "--tokenizer", merges, "--json",
                             "--context-length", length))["ids"]
        if until_end(ids, library.end) != until_end(row, library.end):
            wrong += 1
            print(f"  {text!r}: cuclip {until_end(ids, library.end)}, {until_end(row, library.end)}")
    with torch.no_grad(), tempfile.TemporaryDirectory() as temporary:
        differences = {"texts": abs(encode(cuclip, model, "text", texts) - library.texts(texts)).max()}
        edge = config["vision_cfg"]["image_size"]
        # Twice as wide or high: where the crop lies between two pixels, transformers takes another one.
        for name, sizes in {"pictures": [(edge, edge)] * 3,
                            "resized pictures": [(602, 301), (118, 236), (2 * edge - 2, edge - 1)]}.items():
            paths = random_pictures(temporary, sizes)
            ours, pictures = encode(cuclip, model, "image", paths), [Image.open(path) for path in paths]
            differences[name] = abs(ours - library.pictures(pictures)).max()
            if isinstance(library, Transformers):
                by_default = abs(ours - library.pictures_by_default(pictures)).max()
    print(f"{folder}: {type(library).__name__}, {wrong} of {len(texts)} texts with other ids; largest difference "
          + ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
          + (f"; resized as by default {by_default:.1e}" if isinstance(library, Transformers) else ""))
    return wrong == 0 and max(differences.values()) < LIMIT


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuclip", default="build/bin/cuclip")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    given = parser.parse_args()
    sys.exit(not all([check(given.cuclip, given.model or folder, folder) for folder in given.folders]))
