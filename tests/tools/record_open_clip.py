#!/usr/bin/env python3
"""Writes tests/data/open_clip: what open_clip's CLIP computes, forward and backward, for three small models.

Needs torch, open_clip_torch, safetensors, numpy. Each NAME.safetensors holds
  input.images, input.tokens             normalised pictures, token ids
  weight.<open_clip's name>              every parameter, away from the zeros and ones of a fresh model, and the
                                         running statistics of batch normalisation
  output.image, output.text, output.loss unit-length embeddings, ClipLoss
  gradient.<open_clip's name>            the loss's gradient
  output.evaluated                       embeddings of the pictures by the running statistics   (ResNets)
  statistic.<open_clip's name>           the running statistics after the one training step     (ResNets)
and NAME.json the model's configuration, in open_clip's schema. initialisation.json has statistics of each
parameter over many fresh models of the first configuration: its mean, standard deviation and kurtosis
(3 for a normal distribution, 1.8 for a uniform one). Outputs and gradients are computed in f32;
the script prints how far they are from the same computation in f64, which is the best agreement that any
other f32 program can have with them. Pictures and weights are stored as f16, which they are representable in,
to keep the files small. Everything that is drawn depends on the seeds below alone.

  record_open_clip.py                     the three small models
  record_open_clip.py RN50 ... --out DIR  models of open_clip in full size, for
                                          CUCLIP_RECORDING=DIR/RN50 open_clip_parity_test "[full_size]"
"""
import argparse
import json
import pathlib

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "open_clip"

# They differ in whatever can differ: activation, mlp ratios, head widths, layers, patches, and whether the
# longest caption fills the context. The ResNet has few channels, to keep its file small.
CONFIGURATIONS = {
    "gelu": {
        "embed_dim": 24,
        "quick_gelu": False,
        "vision_cfg": {"image_size": 18, "layers": 2, "width": 32, "head_width": 16, "patch_size": 6,
                       "mlp_ratio": 2.0},
        "text_cfg": {"context_length": 12, "vocab_size": 48, "width": 24, "heads": 2, "layers": 2},
    },
    "quick_gelu": {
        "embed_dim": 20,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 20, "layers": 3, "width": 24, "head_width": 8, "patch_size": 4},
        "text_cfg": {"context_length": 11, "vocab_size": 40, "width": 32, "heads": 2, "layers": 1,
                     "mlp_ratio": 2.0},
    },
    "resnet": {
        "embed_dim": 20,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": [2, 1, 1, 2], "width": 2, "head_width": 16,
                       "patch_size": None},
        "text_cfg": {"context_length": 9, "vocab_size": 40, "width": 16, "heads": 2, "layers": 1},
    },
}
# Start and end included, in full size 77 at most.
LENGTHS = {"gelu": [12, 5, 2, 9, 7], "quick_gelu": [9, 3, 6, 2, 8, 5], "resnet": [9, 3, 5, 2, 7]}
FULL_SIZE_LENGTHS = [77, 5, 12, 2, 30, 9, 21, 3]


def draw_weight(name, shape, rng):
    """Of the size of a trained model's, so that no activation saturates and every gradient counts."""
    z = rng.standard_normal(shape)
    if name == "logit_scale":
        return np.full(shape, 2.0)
    if name.endswith("bias"):
        return 0.2 * z
    if name.endswith("running_mean"):
        return 0.2 * z
    if name.endswith("running_var"):
        return np.exp(0.5 * z)
    if "ln_" in name or len(shape) == 1:
        return 1.0 + 0.2 * z
    if "embedding" in name:
        return 0.5 * z
    fan_in = shape[0] if name in ("visual.proj", "text_projection") else np.prod(shape[1:])
    return z / np.sqrt(fan_in)


def draw_tokens(lengths, text, rng):
    """Start, words, end (the largest id), then padding: 0, end-of-text again, or words that must not count."""
    tokens = np.zeros((len(lengths), text["context_length"]), dtype=np.int32)
    start, end = text["vocab_size"] - 2, text["vocab_size"] - 1
    for i, (row, length) in enumerate(zip(tokens, lengths)):
        row[0] = start
        row[1:] = rng.integers(1, start, len(row) - 1)
        row[length - 1] = end
        if i % 3 < 2:
            row[length:] = [0, end][i % 3]
    return torch.from_numpy(tokens)


def draw_images(count, size, rng):
    """Noise; large ones with coarse patterns below it, since a deep network averages noise alone away."""
    noise = rng.standard_normal((count, 3, size, size))
    if size < 100:
        return noise
    coarse = torch.from_numpy(rng.standard_normal((count, 3, 4, 4)))
    return 0.3 * noise + torch.nn.functional.interpolate(coarse, size, mode="bicubic").numpy()


def representable(values):
    return torch.from_numpy(np.asarray(values)).to(torch.float16)


def state_shapes(config):
    """Of the parameters, then of the running statistics."""
    model = open_clip.CLIP(**config)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    return shapes | {n: tuple(b.shape) for n, b in model.named_buffers() if ".running_" in n}


def model_with(weights, config, dtype):
    model = open_clip.CLIP(**config).to(dtype)
    missing, unexpected = model.load_state_dict({n: v.to(dtype) for n, v in weights.items()}, strict=False)
    assert not unexpected and all(n.endswith("num_batches_tracked") for n in missing), (missing, unexpected)
    return model


def least_bf16_cosine(config, weights, images, tokens):
    """Between features in use, in f32 and under autocast to bf16, of pictures and texts."""
    model = model_with(weights, config, torch.float32).eval()

    @torch.no_grad()
    def features(bf16):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            return torch.cat((model.encode_image(images.float()), model.encode_text(tokens.long()))).double()

    return torch.nn.functional.cosine_similarity(features(False), features(True)).min().item()


def run(config, weights, images, tokens, dtype):
    model = model_with(weights, config, dtype)
    statistics = {}
    if any(n.endswith("running_mean") for n in weights):
        model.eval()
        statistics["output.evaluated"] = model.encode_image(images.to(dtype), normalize=True)
    model.train()
    image, text, scale = model(images.to(dtype), tokens.long())
    loss = open_clip.ClipLoss()(image, text, scale)
    loss.backward()
    results = {"output.image": image, "output.text": text, "output.loss": loss.reshape(1)}
    results |= {f"gradient.{name}": p.grad for name, p in model.named_parameters()}
    statistics |= {f"statistic.{n}": v for n, v in model.state_dict().items() if ".running_" in n}
    results |= statistics
    return {name: value.detach().contiguous() for name, value in results.items()}


def record(name, config, seed, lengths, out):
    rng = np.random.default_rng(seed)
    weights = {n: representable(draw_weight(n, shape, rng)) for n, shape in state_shapes(config).items()}
    size = config["vision_cfg"]["image_size"]
    images = representable(draw_images(len(lengths), size, rng))
    tokens = draw_tokens(lengths, config["text_cfg"], rng)

    results = run(config, weights, images, tokens, torch.float32)
    exact = run(config, weights, images, tokens, torch.float64)
    outputs = max((results[n] - exact[n]).abs().max().item() for n in results if n.startswith("output"))
    # A softmax does not see what shifts all of a query's scores alike: this gradient is rounding.
    gradients = max(((results[n] - exact[n]).norm() / exact[n].norm()).item() for n in results
                    if n.startswith("gradient") and not n.endswith("k_proj.bias"))
    cosine = least_bf16_cosine(config, weights, images, tokens)
    print(f"{name}: loss {results['output.loss'].item():.6f}, f32 against f64: outputs within {outputs:.1e}, "
          f"gradients within {gradients:.1e} of their norms; bf16 against f32: least cosine 1 - {1 - cosine:.1e}")

    stored = {"input.images": images, "input.tokens": tokens}
    stored |= {f"weight.{n}": w.contiguous() for n, w in weights.items()} | results
    out.mkdir(parents=True, exist_ok=True)
    save_file(stored, out / f"{name}.safetensors",
              {"recorded with": f"open_clip {open_clip.__version__}, torch {torch.__version__}",
               "outputs from f64": f"{outputs:.1e}", "gradients from f64": f"{gradients:.1e}",
               "bf16 from f32": f"{1 - cosine:.1e}"})
    (out / f"{name}.json").write_text(json.dumps(config, indent=2) + "\n")


def record_initialisation(config, models=400):
    torch.manual_seed(3)
    drawn = {}
    for _ in range(models):
        for name, p in open_clip.CLIP(**config).named_parameters():
            drawn.setdefault(name, []).append(p.detach().double())
    statistics = {}
    for name, values in drawn.items():
        values = torch.stack(values)
        centred = values - values.mean()
        variance = centred.square().mean()
        kurtosis = (centred ** 4).mean() / variance**2 if variance > 1e-12 else torch.zeros(())
        statistics[name] = [round(x.item(), 6) for x in (values.mean(), variance.sqrt(), kurtosis)]
    (OUT / "initialisation.json").write_text(json.dumps(statistics, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("full_size", nargs="*", metavar="NAME", help="a model of open_clip, such as RN50")
    parser.add_argument("--out", type=pathlib.Path, help="folder for models in full size")
    arguments = parser.parse_args()
    if bool(arguments.full_size) != bool(arguments.out):
        parser.error("a NAME needs --out DIR, and --out DIR a NAME")
    if arguments.full_size:
        torch.set_num_threads(2)
        for name in arguments.full_size:
            record(name, open_clip.get_model_config(name), 1, FULL_SIZE_LENGTHS, arguments.out)
    else:
        torch.set_num_threads(1)
        for seed, (name, config) in enumerate(CONFIGURATIONS.items(), start=1):
            record(name, config, seed, LENGTHS[name], OUT)
        record_initialisation(CONFIGURATIONS["gelu"])
