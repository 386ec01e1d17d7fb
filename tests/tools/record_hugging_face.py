#!/usr/bin/env python3
"""Writes tests/data/hugging_face: a small CLIPModel as transformers saves it, and what it computes.

Needs torch, transformers, safetensors. model.safetensors (f16) and config.json are save_pretrained's; expected.safetensors
holds input.images, input.tokens and the unit-length output.image, output.text, computed in f32 from the stored weights.
"""
import pathlib

import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "hugging_face"
VOCABULARY, LENGTH, SIZE = 530, 9, 16

torch.manual_seed(1)
text = dict(hidden_size=24, intermediate_size=72, num_hidden_layers=2, num_attention_heads=3, vocab_size=VOCABULARY,
            max_position_embeddings=LENGTH, hidden_act="gelu", bos_token_id=VOCABULARY - 2,
            eos_token_id=VOCABULARY - 1, pad_token_id=0, projection_dim=12)
vision = dict(hidden_size=32, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, image_size=SIZE,
              patch_size=4, hidden_act="gelu", projection_dim=12)
model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).eval()
with torch.no_grad():
    for name, parameter in model.named_parameters():
        # Away from the zeros and ones of a fresh model, and representable in f16.
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
        parameter.copy_((torch.randn_like(parameter) / fan_in**0.5).half().float())
    images = torch.randn(3, 3, SIZE, SIZE).half().float()
    tokens = torch.zeros(3, LENGTH, dtype=torch.int32)
    for row, length in enumerate([2, 5, LENGTH]):
        tokens[row, 0] = VOCABULARY - 2
        tokens[row, 1 : length - 1] = torch.randint(1, VOCABULARY - 2, (length - 2,))
        tokens[row, length - 1] = VOCABULARY - 1
    result = model(input_ids=tokens.long(), pixel_values=images)
    expected = {"input.images": images, "input.tokens": tokens,
                "output.image": result.image_embeds, "output.text": result.text_embeds}
OUT.mkdir(parents=True, exist_ok=True)
save_file({name: tensor.contiguous() for name, tensor in expected.items()}, OUT / "expected.safetensors")
model.half().save_pretrained(OUT)
(OUT / "generation_config.json").unlink(missing_ok=True)
for file in OUT.iterdir():
    file.chmod(0o644)
