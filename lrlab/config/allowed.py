"""What the config of a file from somebody else may name: lists, by the place in the config. Never a prefix.

Everything here builds an object in memory and does nothing else: it reads and writes no file, opens no connection and
imports nothing by name. `tests/config/test_allowed.py` holds the lists to that.
"""

from functools import lru_cache

from lrlab import schedules


def _in(module: str, names: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for name in names.split())


DATA = (
    _in("lrlab.data.datasets", "digits torchvision_images image_folder fake")
    | _in("lrlab.data.arrays", "arrays diabetes")
    | _in("lrlab.data.text", "text")
)
MODELS = (
    _in("lrlab.models", "linear mlp cnn resnet_cifar torchvision_model")
    | _in("lrlab.published_models", "lenet mnist_convnet conv2_dense2 conv3_dense3 airbench")
    | _in("lrlab.language_models", "transformer")
)
TASKS = (
    _in("lrlab.training.task", "Classification")
    | _in("lrlab.training.regression", "Regression")
    | _in("lrlab.training.language", "NextToken")
)
SCHEDULES = _in("lrlab.schedules", " ".join(schedules.__all__))

OPTIMIZERS_OF_TORCH = _in(
    "torch.optim",
    "Adadelta Adafactor Adagrad Adam AdamW Adamax ASGD LBFGS Muon NAdam RAdam RMSprop Rprop SGD SparseAdam",
)
OPTIMIZERS = OPTIMIZERS_OF_TORCH | _in("lrlab.optimizers", "Lion Muon prodigy schedule_free")
SCHEDULERS = (
    _in(
        "torch.optim.lr_scheduler",
        "ChainedScheduler ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR LambdaLR "
        "LinearLR MultiStepLR MultiplicativeLR OneCycleLR PolynomialLR ReduceLROnPlateau SequentialLR StepLR",
    )
    | _in("torch.optim.swa_utils", "SWALR")
    | _in("lrlab.lr.cooldown", "Cooldown")
    | _in("lrlab.lr.greedy", "GreedyLR")
    | _in("lrlab.lr.warmup_plateau", "WarmupPlateau")
    | _in("lrlab.lr.torch_composites", "chained sequential")
)
LOSSES = _in(
    "torch.nn",
    "BCELoss BCEWithLogitsLoss CrossEntropyLoss GaussianNLLLoss HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss MSELoss "
    "MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PoissonNLLLoss SmoothL1Loss SoftMarginLoss",
)
LAYERS = _in(
    "torch.nn",
    # linear, convolutions, recurrence, attention
    "Identity Linear LazyLinear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d "
    "LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d Embedding "
    "EmbeddingBag RNN LSTM GRU RNNCell LSTMCell GRUCell MultiheadAttention Transformer TransformerDecoder "
    "TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer Sequential "
    # normalization and dropout
    "BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d SyncBatchNorm GroupNorm "
    "InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LayerNorm "
    "RMSNorm LocalResponseNorm CrossMapLRN2d Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout "
    # activations
    "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish PReLU RReLU ReLU "
    "ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold "
    # pooling, padding, shape
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d "
    "AvgPool1d AvgPool2d AvgPool3d LPPool1d LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d FractionalMaxPool2d "
    "FractionalMaxPool3d CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d "
    "ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d "
    "ZeroPad2d ZeroPad3d Flatten Unflatten Fold Unfold PixelShuffle PixelUnshuffle ChannelShuffle Upsample "
    "UpsamplingBilinear2d UpsamplingNearest2d CosineSimilarity PairwiseDistance",
)

# What a group's own node may name, and what a node anywhere inside of it may.
_OUTER = {
    "data": DATA,
    "model": MODELS | LAYERS,
    "task": TASKS,
    "optimizer": OPTIMIZERS,
    "scheduler": SCHEDULERS,
}
_INNER = {
    "model": LAYERS,
    "task": LOSSES,
    "optimizer": SCHEDULERS | SCHEDULES,
    "scheduler": SCHEDULERS | SCHEDULES,
}

# Arguments that read, fetch or write what they name, whatever takes them.
REACHING = ("root", "download", "weights", "weights_backbone", "pretrained", "pretrained_backbone")


def is_allowed(key: str, target: object) -> bool:
    """Whether a file may have `target` as the value of `key`, the dotted name of a `_target_`."""
    if not isinstance(target, str):
        return False
    group, *inside = key.removesuffix("_target_").rstrip(".").split(".")
    if target in (_INNER if inside else _OUTER).get(group, ()):
        return True
    return group == "model" and not inside and target.startswith("torchvision.models.") and target in _builders()


@lru_cache
def _builders() -> frozenset[str]:
    """The image classifiers that torchvision has registered, under the short name and the one of their own module."""
    import torchvision.models

    registered = torchvision.models.list_models(module=torchvision.models)
    modules = {name: torchvision.models.get_model_builder(name).__module__ for name in registered}
    return frozenset(
        {f"torchvision.models.{name}" for name in modules} | {f"{modules[name]}.{name}" for name in modules}
    )
