"""Which parameters of a model are the weights of its hidden layers."""

from torch import Tensor, nn

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Bilinear, *_CONVOLUTIONS)  # the last of them in a model makes its outputs


def hidden_weights(model: nn.Module) -> frozenset[str]:
    """The names of the parameters that are weights of hidden layers: of convolutions, linear layers and their like.

    They are called `weight` or something with it, `in_proj_weight` say, and have two dimensions or more, each side of
    the matrix being longer than 1. Embedding tables are none, nor is the last layer in the order in which the model
    has them, nor anything that has another name: position embeddings, class tokens, scales.
    """
    layers = [module for module in model.modules() if isinstance(module, _LAYERS)]
    others = [*(module for module in model.modules() if isinstance(module, _EMBEDDINGS)), *layers[-1:]]
    apart: set[int] = set()
    for module in others:
        apart |= {id(parameter) for parameter in module.parameters()}
    found = set()
    for name, parameter in model.named_parameters():
        if id(parameter) not in apart and "weight" in name.rpartition(".")[2] and is_matrix(parameter):
            found.add(name)
    return frozenset(found)


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter of two dimensions or more is more than one row or column."""
    if parameter.ndim < 2:
        return False
    rows = parameter.shape[0]
    return min(rows, parameter.numel() // max(rows, 1)) > 1
