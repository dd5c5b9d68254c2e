"""Models of the real kinds, tiny and with weights drawn at random, in folders as save_pretrained() writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = ("a", "person", "on", "foot", "car", "lorry", "bus", "red", "blood", "cell", "traffic", "light")


def write_tokenizer(folder: Path) -> None:
    """A BERT tokenizer of a few words; the special ones have the numbers that Grounding DINO has written into it."""
    from transformers import BertTokenizer

    words = [f"[unused{number}]" for number in range(1030)]
    for number, word in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".",
                         1029: "?"}.items():
        words[number] = word
    words += WORDS
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    vocabulary = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)


def write_grounding(folder: Path, most: int = 24) -> Path:
    """A detector that is asked in words; `most` tokens a text."""
    import torch
    from transformers import (
        AutoTokenizer,
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    folder.mkdir(parents=True)
    write_tokenizer(folder)
    torch.manual_seed(0)
    swin = SwinConfig(image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
                      out_indices=[2, 3, 4])
    bert = BertConfig(vocab_size=1030 + len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                      intermediate_size=32, max_position_embeddings=64)
    model = GroundingDinoForObjectDetection(GroundingDinoConfig(
        backbone_config=swin, text_config=bert, num_queries=20, encoder_layers=1, decoder_layers=2, d_model=32,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2, max_text_len=most,
        disable_custom_kernels=True))
    model.save_pretrained(folder)
    pictures = GroundingDinoImageProcessor(size={"shortest_edge": 96, "longest_edge": 160})
    GroundingDinoProcessor(pictures, AutoTokenizer.from_pretrained(folder)).save_pretrained(folder)
    return folder


def write_sam(folder: Path) -> Path:
    """The first of the kind."""
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    torch.manual_seed(0)
    vision: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64,
                              "patch_size": 16, "output_channels": 16, "window_size": 0, "global_attn_indexes": [0],
                              "num_pos_feats": 8, "initializer_range": 0.02}
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    decoder = {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))
    model.save_pretrained(folder)
    size = {"height": 64, "width": 64}
    SamProcessor(SamImageProcessor(size={"longest_edge": 64}, pad_size=size)).save_pretrained(folder)
    return folder


def write_sam2(folder: Path) -> Path:
    """The second, whose pictures are squeezed to a square."""
    import torch
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model, Sam2Processor

    torch.manual_seed(0)
    hiera = {"model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1, "image_size": [64, 64],
             "blocks_per_stage": [1, 1, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64],
             "num_attention_heads_per_stage": [1, 1, 2, 2], "window_size_per_stage": [4, 2, 2, 1],
             "global_attention_blocks": [], "window_positional_embedding_background_size": [2, 2]}
    vision = {"backbone_config": hiera, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 16,
              "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    decoder = {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    model = Sam2Model(Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))
    model.save_pretrained(folder)
    Sam2Processor(Sam2ImageProcessor(size={"height": 64, "width": 64},
                                     mask_size={"height": 16, "width": 16})).save_pretrained(folder)
    return folder


def rewrite_config(folder: Path, **values: Any) -> None:
    """Change keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
