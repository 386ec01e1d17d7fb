#!/usr/bin/env python3
"""PyTorch's side of compare.py: prepares one task, says when it is ready, and then, for each line of standard
input, runs it for about half a second and prints the seconds of one call; at the end of the input, by how many
MiB the process grew. contestant.cpp does the same in cuclip.

The variant says how PyTorch is asked: eager or compiled (torch.compile), and for scaled_dot_product_attention on
a GPU which of its kernels it may use: eager-cudnn, eager-flash, eager-efficient. In bf16, training is under
autocast, with the weights in f32, as cuclip trains; encoding too, or with the weights in bf16: eager-weights,
compiled-weights. openvino is for encoding on a CPU: PyTorch's model, converted to and run by OpenVINO. Models are
open_clip's, their pictures and texts random.
"""
import argparse
import contextlib
import os
import pathlib
import sys
import time

import torch
import torch.nn.functional as F

ROUND_SECONDS = 0.5
SDPA = {"cudnn": "CUDNN_ATTENTION", "flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION"}


def resident_mib(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key)) / 1024


def model_of(args):
    import open_clip
    config = pathlib.Path(args.model)
    name = args.model
    if config.suffix == ".json":  # one of cuclip's own, in open_clip's schema
        open_clip.add_model_config(config)
        name = config.stem
    return open_clip.create_model(name, device=args.device)


def inputs_of(model, args):
    size = model.visual.image_size
    size = size if isinstance(size, tuple) else (size, size)
    images = torch.randn(args.batch, 3, *size, device=args.device)
    tokens = torch.randint(1, model.vocab_size - 1, (args.batch, model.context_length), device=args.device)
    tokens[:, -1] = model.vocab_size - 1  # the end of the text, which open_clip finds as the largest id
    return images, tokens


def autocast(args):
    if args.precision == "fp32" or args.variant.endswith("weights"):
        return contextlib.nullcontext()
    return torch.autocast(args.device, dtype=torch.bfloat16)


def contrastive_loss(image, text, scale):
    logits = scale * image @ text.T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def train_step(args):
    model = model_of(args).train()
    images, tokens = inputs_of(model, args)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.2}, {"params": others, "weight_decay": 0}],
                                  lr=1e-4, betas=(0.9, 0.98), eps=1e-6, fused=args.device == "cuda" or None)
    forward = compiled(model, args)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast(args):
            image, text, scale = forward(images, tokens)[:3]
            loss = contrastive_loss(image, text, scale)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
        return loss

    return step


def encode(args, encode_name):
    model = model_of(args).eval()
    images, tokens = inputs_of(model, args)
    if args.precision == "bf16" and args.variant.endswith("weights"):
        model, images = model.bfloat16(), images.bfloat16()
    given = images if encode_name == "encode_image" else tokens
    if args.variant == "openvino":
        return openvino_encoder(Encoder(model, encode_name), given, args)
    forward = compiled(getattr(model, encode_name), args)

    @torch.inference_mode()
    def call():
        with autocast(args):
            return forward(given, normalize=True).float()

    return call


class Encoder(torch.nn.Module):
    """One encoder of a model, as a module of its own."""

    def __init__(self, model, encode_name):
        super().__init__()
        self.model, self.encode_name = model, encode_name

    def forward(self, given):
        return getattr(self.model, self.encode_name)(given, normalize=True)


def openvino_encoder(encoder, given, args):
    import openvino
    with torch.no_grad():
        expected = encoder(given)
        converted = openvino.convert_model(torch.export.export(encoder, (given,)))
    precision = {"fp32": "f32", "bf16": "bf16"}[args.precision]
    model = openvino.Core().compile_model(converted, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": args.threads, "INFERENCE_PRECISION_HINT": precision})
    request, array = model.create_infer_request(), given.numpy()
    similarity = F.cosine_similarity(torch.from_numpy(request.infer([array])[0]), expected).min()
    if similarity < 0.99:
        sys.exit(f"OpenVINO's features differ from PyTorch's: their least cosine is {similarity:.4f}")
    return lambda: request.infer([array])


def loss(args):
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    image, text = (F.normalize(torch.randn(args.batch, args.width, device=args.device), dim=1)
                   .to(dtype).requires_grad_() for _ in range(2))
    scale = torch.tensor(4.6052, device=args.device, requires_grad=True)
    forward = compiled(contrastive_loss, args)

    def call():
        value = forward(image, text, scale.exp().to(dtype))
        torch.autograd.grad(value, (image, text, scale))
        return value

    return call


def preprocess(args):
    from concurrent.futures import ThreadPoolExecutor
    import open_clip
    from PIL import Image
    transform = open_clip.image_transform(224, is_train=False)
    files = sorted(pathlib.Path(args.input).iterdir())
    torch.set_num_threads(1)  # the pictures are shared out among threads: Pillow holds no lock while it works
    pool = ThreadPoolExecutor(args.threads)

    def load(file):
        with Image.open(file) as image:
            return transform(image)

    return lambda: list(pool.map(load, files))


def tokenize(args):
    import open_clip
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    texts = pathlib.Path(args.input).read_text().splitlines()
    return lambda: tokenizer(texts)


TASKS = {"train_step": train_step, "encode_images": lambda args: encode(args, "encode_image"),
         "encode_texts": lambda args: encode(args, "encode_text"), "loss": loss, "preprocess": preprocess,
         "tokenize": tokenize}


def compiled(function, args):
    return torch.compile(function) if args.variant.startswith("compiled") else function


def sdpa(args):
    name = SDPA.get(args.variant.partition("-")[2])
    if name is None:
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    return sdpa_kernel(getattr(SDPBackend, name))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--variant", default="eager")
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--input", help="a folder of pictures, or a file of texts")
    args = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    before = resident_mib("VmRSS:")
    call = TASKS[args.task](args)

    def timed(calls):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        if args.device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / calls

    with sdpa(args):
        timed(3)  # compiles, allocates
        calls = max(1, int(ROUND_SECONDS / timed(1)))
        print("ready", flush=True)
        for _ in sys.stdin:
            print(f"{timed(calls):.9f}", flush=True)
    grown = torch.cuda.max_memory_allocated() / 2**20 if args.device == "cuda" else resident_mib("VmHWM:") - before
    print(f"{grown:.1f}")


if __name__ == "__main__":
    main()
