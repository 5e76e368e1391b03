"""The small CLIP: an open_clip model of about a million parameters, with its own tokenizer.

The realism reward is a linear layer on CLIP features (paper, section 4.3). On a laptop a
CLIP ViT-L would cost more than the rest of the pipeline together, so the embedded one keeps
open_clip's architecture and file format (`open_clip_config.json`,
`open_clip_model.safetensors`, tokenizer files beside them) at a small size.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from open_clip.model import CLIP, set_model_preprocess_cfg
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

IMAGE_SIZE = 64
CONTEXT_LENGTH = 32
VOCABULARY = 1024
PAD, START, END, UNKNOWN = "<pad>", "<start>", "<end>", "<unknown>"
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"

ImageTower = Literal["vit", "resnet"]
IMAGE_TOWERS: Mapping[ImageTower, Mapping[str, Any]] = {
    "vit": {"layers": 4, "width": 128, "head_width": 32, "patch_size": 8, "pool_type": "avg"},
    "resnet": {"layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
}


def build_tokenizer(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE learnt from `captions`: every string has an encoding, lower-cased."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, START, END, UNKNOWN]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(token, special.index(token)) for token in (START, END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=CONTEXT_LENGTH,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
    )


def small_config(image_tower: ImageTower = "resnet") -> dict[str, Any]:
    """The contents of `open_clip_config.json` for the small model."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {"image_size": IMAGE_SIZE, **IMAGE_TOWERS[image_tower]},
            "text_cfg": {
                "context_length": CONTEXT_LENGTH,
                "vocab_size": VOCABULARY,
                "width": 64,
                "heads": 4,
                "layers": 2,
                "pool_type": "eos",
                "pad_id": 0,
                "eos_id": 2,
                # Any value makes open_clip read the tokenizer files of the model's folder.
                "hf_tokenizer_name": "clip-small",
            },
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def build_small_clip(
    captions: Iterable[str], image_tower: ImageTower = "resnet", seed: int = 0
) -> tuple[CLIP, PreTrainedTokenizerFast]:
    """An untrained small CLIP and a tokenizer fitted to `captions`.

    Save both with `save_clip`; the folder then loads with
    `open_clip.create_model_and_transforms("local-dir:<folder>")`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = small_config(image_tower)
        model = CLIP(**config["model_cfg"])
    set_model_preprocess_cfg(model, config["preprocess_cfg"])
    return model, build_tokenizer(captions)


def save_clip(
    model: CLIP,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    image_tower: ImageTower = "resnet",
) -> None:
    """Write weights, configuration and tokenizer in open_clip's own folder layout."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: _halved(name, value.detach().cpu().contiguous())
        for name, value in model.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(small_config(image_tower), indent=2) + "\n")
    tokenizer.save_pretrained(folder)


def _halved(name: str, value: torch.Tensor) -> torch.Tensor:
    """Float16, except running statistics and counters: half the size on disk."""
    return value.half() if value.is_floating_point() and "running_" not in name else value


def load_clip(folder: Path) -> tuple[CLIP, open_clip.tokenizer.HFTokenizer]:
    """The model and the tokenizer of a folder written by `save_clip`, in evaluation mode."""
    name = f"local-dir:{folder}"
    model = open_clip.create_model(name)
    return model.eval(), open_clip.get_tokenizer(name)
