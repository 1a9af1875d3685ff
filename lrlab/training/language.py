"""Language: each token of a text is predicted from those before it."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from lrlab.data.splits import Splits
from lrlab.data.text import bytes_of_tokens
from lrlab.errors import wrong
from lrlab.training.metrics import METRICS, Metric, Total


@dataclass(frozen=True)
class NextToken:
    """The next token of a text: cross entropy in nats a token, perplexity, and bits per byte.

    `label_smoothing` (0..1) is the share of a token's weight that is spread over all, in training only. Bits per byte
    (Gao et al., The Pile, 2020, arXiv:2101.00027) can be compared between vocabularies. They are measured where the
    data set tells what its tokens stand for.
    """

    label_smoothing: float = 0.0
    sizes: Tensor | None = field(default=None, compare=False)  # bytes (V,) of each token

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The loss, bits per byte and perplexity."""
        found = [METRICS["loss"]]
        if self.sizes is not None:
            found.append(replace(METRICS["bits_per_byte"], sums=(("_bytes", self._bytes),)))
        return (*found, METRICS["perplexity"])

    @property
    def _bytes(self) -> Total:
        sizes = self.sizes
        assert sizes is not None

        def total(_logits: Tensor, tokens: Tensor) -> Tensor:
            """The sum () over the batch of the mean bytes of each window's tokens (B, T)."""
            return sizes[tokens].mean(1).sum()

        return total

    def training_loss(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """() float32, the mean over the batch and its windows; logits (B, T, V), tokens (B, T)."""
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), label_smoothing=self.label_smoothing)

    def validation_loss(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """The same, without smoothing."""
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    def to(self, device: torch.device) -> "NextToken":
        return self if self.sizes is None else replace(self, sizes=self.sizes.to(device))

    def for_data(self, splits: Splits) -> "NextToken":
        """The task that knows the bytes of the data's tokens. Raises UserError for data that is no text."""
        if splits.num_classes is None or len(splits.target_shape) != 1:
            got = f"language, for targets {splits.target_shape}"
            allowed = "windows of tokens, each with the tokens that follow"
            raise wrong("task", got=got, allowed=allowed, do="data=text, or task=classification")
        if not splits.vocabulary:
            return self
        return replace(self, sizes=bytes_of_tokens(splits.vocabulary, splits.num_classes))
