#!/usr/bin/env python3
"""Writes tests/data/hugging_face/hidden_states.safetensors: hidden states of the text encoder that
record_hugging_face.py wrote there, as transformers computes them.

Needs torch, transformers, safetensors. For tokens padded with 0 ("zero") and with the end of text ("end"): tokens, the
last hidden state after the final layer norm ("last"), the last but one ("penultimate"), that after the final layer norm
("penultimate_norm"), and what SDXL calls the pooled prompt: CLIPTextModelWithProjection's text_embeds ("projected").
"""
import pathlib

import torch
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "hugging_face"
LENGTH = 9


def main():
    model = CLIPTextModel.from_pretrained(DATA, torch_dtype=torch.float32).eval()
    projecting = CLIPTextModelWithProjection.from_pretrained(DATA, torch_dtype=torch.float32).eval()
    end = model.config.vocab_size - 1
    norm = next(module for name, module in model.named_modules() if name.endswith("final_layer_norm"))
    torch.manual_seed(3)
    recorded = {}
    for name, padding in (("zero", 0), ("end", end)):
        tokens = torch.full((2, LENGTH), padding, dtype=torch.int32)
        for row, length in enumerate([3, 6]):
            tokens[row, 0] = end - 1
            tokens[row, 1 : length - 1] = torch.randint(1, end - 1, (length - 2,))
            tokens[row, length - 1] = end
        with torch.no_grad():
            result = model(input_ids=tokens.long(), output_hidden_states=True)
            recorded |= {f"{name}.tokens": tokens, f"{name}.last": result.last_hidden_state,
                         f"{name}.penultimate": result.hidden_states[-2],
                         f"{name}.penultimate_norm": norm(result.hidden_states[-2]),
                         f"{name}.projected": projecting(input_ids=tokens.long()).text_embeds}
    save_file({name: tensor.contiguous() for name, tensor in recorded.items()}, DATA / "hidden_states.safetensors")
    (DATA / "hidden_states.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
