"""The layers of a model, from the input to the output, for a learning rate that falls with the depth.

They are found from the modules alone, in the order in which they were registered, which for most models is the order in
which they are called:

* A block that is repeated is one layer: one of at least two of the same class that are children of one module, or of
  its `Sequential`, `ModuleList` or `ModuleDict`, and hold modules themselves. The only one in a `ModuleList`, as in a
  transformer of depth 1, is one, too.
* Where there are blocks, any other module beside them is a layer too. A module that holds a stack of blocks, as an
  encoder does, is none unless it is in a stack itself: the layers are those inside of it.
* A module that holds parameters and no modules is a layer. One with vectors alone, as a normalization has them, belongs
  to the layer before; behind a block, and at the start, to the one after.
* Embeddings, and parameters that lie beside modules, belong to the first layer; behind a block, to the one after.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)  # themselves, not classes derived from them
_BLOCKS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)  # wherever they are
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


@dataclass
class Layer:
    """One layer: the module that it is called after, and the names of its parameters."""

    name: str
    parameters: list[str]


@dataclass(frozen=True)
class _Part:
    """A module, or parameters that lie beside modules, on the way through a model."""

    name: str
    module: nn.Module | None  # None: parameters
    parameters: Mapping[str, Tensor]  # of it and of all inside, by their whole names
    is_in_container: bool = False
    is_alone: bool = False  # in a ModuleList, which is made for several
    is_block: bool = False

    @property
    def is_deepest(self) -> bool:
        return self.module is None or isinstance(self.module, _EMBEDDINGS)

    @property
    def is_of_vectors(self) -> bool:
        return not self.is_block and all(parameter.ndim <= 1 for parameter in self.parameters.values())


def layers_of(model: nn.Module) -> list[Layer]:
    """The layers of `model`, the deepest first, the output's last; each parameter is in one of them.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    >>> [(layer.name, len(layer.parameters)) for layer in layers_of(net)]
    [('0', 4), ('3', 2)]
    """
    layers: list[Layer] = []
    waiting: list[str] = []  # names of parameters that belong to the layer after
    seen: set[str] = set()  # modules may share parameters, which belong to the first of them
    behind_a_block = False
    for part in _parts(model, "", _names(model)):
        names = [name for name in part.parameters if name not in seen]
        seen.update(names)
        if not names:
            continue
        if layers and not behind_a_block and part.is_deepest:
            layers[0].parameters += names
        elif layers and not behind_a_block and part.is_of_vectors:
            layers[-1].parameters += names
        elif part.module is None or part.is_of_vectors:
            waiting += names
        else:
            if part.is_block and waiting and not layers:
                layers.append(_called_after_its_first(waiting))
                waiting = []
            layers.append(Layer(part.name, [*waiting, *names]))
            waiting, behind_a_block = [], part.is_block
    if waiting:
        layers.append(_called_after_its_first(waiting))
    return layers


def depths_of(layers: list[Layer]) -> dict[str, int]:
    """The layer of each parameter, counted from the output, whose own is 0."""
    depths: dict[str, int] = {}
    for depth, layer in enumerate(reversed(layers)):
        depths |= dict.fromkeys(layer.parameters, depth)
    return depths


def _called_after_its_first(names: list[str]) -> Layer:
    return Layer(names[0].rpartition(".")[0] or names[0], names)


def _names(model: nn.Module) -> dict[int, str]:
    """The name of every parameter by its identity: one that modules share has the first, as in `named_parameters`."""
    return {id(parameter): name for name, parameter in model.named_parameters()}


def _parts(module: nn.Module, path: str, names: Mapping[int, str]) -> Iterator[_Part]:
    """What `module` consists of, in order: layers, and what will be part of one."""
    parts = list(_flat(module, path, names))
    kinds = Counter(type(part.module) for part in parts if _holds_modules(part.module))
    repeated = {kind for kind, count in kinds.items() if count > 1}
    has_blocks = bool(repeated) or any(part.is_alone for part in parts)
    for part in parts:
        inner = part.module
        if inner is None or not _holds_modules(inner):
            yield part
            continue
        is_block = isinstance(inner, _BLOCKS) or (type(inner) in repeated and part.is_in_container) or part.is_alone
        if is_block or (has_blocks and not any(map(_is_stack, inner.modules()))):
            yield replace(part, is_block=True)
        else:
            yield from _parts(inner, part.name, names)


def _flat(module: nn.Module, path: str, names: Mapping[int, str], *, is_in_container: bool = False) -> Iterator[_Part]:
    """The parameters and the children of a module, those of plain containers in their place."""
    own = _of(names, module.named_parameters(recurse=False))
    if own:
        yield _Part(next(iter(own)), None, own) if _holds_modules(module) else _Part(path, module, own)
    for name, child in module.named_children():
        where = f"{path}.{name}" if path else name
        if type(child) in _CONTAINERS:
            yield from _flat(child, where, names, is_in_container=True)
            continue
        inside = _of(names, child.named_parameters())
        if inside:
            is_alone = len(_learning_children(module)) == 1 and _is_stack(module)
            yield _Part(where, child, inside, is_in_container or type(module) in _CONTAINERS, is_alone=is_alone)


def _of(names: Mapping[int, str], parameters: Iterator[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {names[id(parameter)]: parameter for _, parameter in parameters}


def _holds_modules(module: nn.Module | None) -> bool:
    """Whether some of a module's parameters lie in modules inside of it."""
    if module is None or isinstance(module, nn.MultiheadAttention):  # one layer to everybody
        return False
    return any(map(_has_parameters, module.children()))


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _learning_children(module: nn.Module) -> list[nn.Module]:
    return list(filter(_has_parameters, module.children()))


def _is_stack(module: nn.Module) -> bool:
    """Whether a module is a container of blocks of one class. What is made as a `Sequential` is no block.

    A `ModuleList` may hold a single one, if that is no model with blocks of its own.
    """
    if type(module) not in _CONTAINERS:
        return False
    children = _learning_children(module)
    if len(children) == 1 and type(module) is nn.ModuleList:
        inside = children[0].modules()
        return _holds_modules(children[0]) and not any(map(_is_stack, inside))
    if len(children) < 2 or len(set(map(type, children))) > 1:
        return False
    return _holds_modules(children[0]) and not isinstance(children[0], nn.Sequential)
