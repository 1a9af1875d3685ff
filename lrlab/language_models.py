"""A small causal transformer: it reads windows of tokens and predicts the next token at each place."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lrlab.errors import wrong

_DEVIATION = 0.02  # of initial weights, as GPT-2's


def transformer(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.0,
) -> nn.Module:
    """A GPT: `depth` blocks of causal self-attention and of an MLP, each normalized before.

    A token is `width` numbers, which `heads` heads share among them.

    Takes tokens (B, T) int64 below `num_classes`, with T at most the windows' length `input_shape`, and returns logits
    (B, T, num_classes). Embeddings and head are apart. Source: Radford et al., Language Models are Unsupervised
    Multitask Learners, 2019.
    """
    if len(input_shape) != 1:
        got = f"transformer, for samples of shape {tuple(input_shape)}"
        raise wrong("model", got=got, allowed="windows of tokens (T,), as those of data=text", do="model=mlp")
    for name, value in (("width", width), ("depth", depth), ("heads", heads)):
        if value < 1:
            raise wrong(f"model.{name}", got=value, allowed="an integer >= 1", do=f"model.{name}=4")
    if width % heads:
        fitting = max(count for count in range(1, heads + 1) if width % count == 0)
        got = f"{heads}, for a width of {width}"
        raise wrong("model.heads", got=got, allowed="a divisor of model.width", do=f"model.heads={fitting}")
    return Transformer(input_shape[0], num_classes, width=width, depth=depth, heads=heads, dropout=dropout)


class Transformer(nn.Module):
    """The model, in parts that parameter groups can go by: `embedding`, `blocks`, `norm` and `head`."""

    def __init__(self, length: int, vocabulary: int, *, width: int, depth: int, heads: int, dropout: float):
        super().__init__()
        self.embedding = Embedding(length, vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.apply(_initialize)
        for name, parameter in self.named_parameters():
            if name.endswith("onto_residual.weight"):  # so that the sum over the blocks keeps its scale
                nn.init.normal_(parameter, std=_DEVIATION / math.sqrt(2 * depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) of the token after each of `tokens` (B, T)."""
        x = self.dropout(self.embedding(tokens))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Embedding(nn.Module):
    """A vector for each token, and one for its place in the window, added up."""

    def __init__(self, length: int, vocabulary: int, width: int):
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(length, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) for tokens (B, T)."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.token(tokens) + self.position(places)


class Block(nn.Module):
    """Attention, then an MLP; each reads a normalized copy and adds to what goes through."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = Mlp(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.onto_residual = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) for x (B, T, width)."""
        batch, length, width = x.shape
        parts = self.query_key_value(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        share = self.dropout if self.training else 0.0
        with _kernels(x):
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=share, is_causal=True)
        mixed = self.onto_residual(mixed.transpose(1, 2).reshape(batch, length, width))
        return F.dropout(mixed, self.dropout, self.training)


class Mlp(nn.Module):
    """Two layers with GELU between them, four times as wide inside."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.grow = nn.Linear(width, 4 * width, bias=False)
        self.onto_residual = nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.onto_residual(F.gelu(self.grow(x))))


def _kernels(x: Tensor) -> AbstractContextManager[None]:
    """Those that attention may use on a GPU, whose faster ones do not repeat themselves bit for bit; elsewhere any."""
    if not x.is_cuda:
        return nullcontext()
    faster = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    return sdpa_kernel([SDPBackend.MATH, *([] if torch.are_deterministic_algorithms_enabled() else faster)])


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_DEVIATION)
