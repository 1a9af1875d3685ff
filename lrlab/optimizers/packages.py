"""Optimizers of other packages, made by functions whose signatures say what they take, installed or not."""

import io
import math
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from lrlab.errors import wrong


def schedule_free(
    params: ParamsT,
    lr: float = 0.0025,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
) -> Optimizer:
    """AdamW that averages its weights instead of lowering its LR: `schedulefree.AdamWScheduleFree`.

    Raises UserError where the package is not installed.

    Source: Defazio et al., The Road Less Scheduled, 2024, arXiv:2405.15682.
    """
    try:
        from schedulefree import AdamWScheduleFree
    except ImportError as error:
        raise _not_installed("schedule_free", "schedulefree") from error
    return AdamWScheduleFree(
        params,
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        warmup_steps=warmup_steps,
        r=r,
        weight_lr_power=weight_lr_power,
    )


def prodigy(
    params: ParamsT,
    lr: float = 1.0,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decouple: bool = True,
    use_bias_correction: bool = False,
    safeguard_warmup: bool = False,
    d0: float = 1e-6,
    d_coef: float = 1.0,
    growth_rate: float | None = None,
    slice_p: int = 1,
) -> Optimizer:
    """Adam that estimates its step size d and moves by d x LR: `prodigyopt.Prodigy`. `growth_rate` None is no limit.

    Raises UserError where the package is not installed.

    Source: Mishchenko and Defazio, Prodigy: An Expeditiously Adaptive Parameter-Free Learner, 2023, arXiv:2306.06101.
    """
    try:
        from prodigyopt import Prodigy
    except ImportError as error:
        raise _not_installed("prodigy", "prodigyopt") from error
    make: Callable[..., Any] = Prodigy
    with redirect_stdout(io.StringIO()):  # it prints what its settings say already
        return make(
            params,
            lr=lr,
            betas=betas,
            beta3=beta3,
            eps=eps,
            weight_decay=weight_decay,
            decouple=decouple,
            use_bias_correction=use_bias_correction,
            safeguard_warmup=safeguard_warmup,
            d0=d0,
            d_coef=d_coef,
            growth_rate=math.inf if growth_rate is None else growth_rate,
            slice_p=slice_p,
        )


def _not_installed(name: str, package: str) -> Exception:
    return wrong(
        "optimizer",
        got=f"{name}, whose package {package} is not installed here",
        allowed="an optimizer whose package is",
        do=f"pip install {package}",
    )
