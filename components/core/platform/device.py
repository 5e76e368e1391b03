"""Where a stage computes: "auto" is the first GPU when there is one, else the processor."""

from components.core.errors import UserError


def choose_device(name: str) -> str:
    """The torch device for a recipe's "auto", "cpu" or "cuda"."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device = 'cuda' was asked for but no GPU is usable: set device to 'cpu' or 'auto', or "
            "see `realmat doctor`"
        )
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
