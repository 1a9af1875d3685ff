"""How long a run is, as the arguments of a schedule say it."""

from lrlab.lr.horizon import Horizon
from lrlab.schedules.law import wrong_argument


def horizon_of(epochs: int | None, steps_per_epoch: int | None, total_steps: int | None) -> Horizon:
    """The length of a run. Raises ValueError unless it is said in one of two ways."""
    for name, value in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch), ("total_steps", total_steps)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise wrong_argument(name, got=repr(value), allowed="a whole number from 1", do=f"{name}=100")
    if total_steps is None and epochs is None:
        got = "neither total_steps nor epochs"
        raise wrong_argument("total_steps", got=got, allowed="one of them", do="total_steps=1000, or epochs=20")
    if total_steps is None:
        return Horizon(epochs or 1, steps_per_epoch or 1)
    if epochs is not None and steps_per_epoch is not None and epochs * steps_per_epoch != total_steps:
        got = f"{total_steps}, beside epochs={epochs} and steps_per_epoch={steps_per_epoch}"
        do = f"total_steps={epochs * steps_per_epoch}, or leave it out"
        raise wrong_argument("total_steps", got=got, allowed="their product", do=do)
    length = steps_per_epoch or (total_steps // epochs if epochs else 0)
    if length and total_steps % length == 0 and (epochs is None or epochs * length == total_steps):
        return Horizon(total_steps // length, length)
    if length:
        got = f"{total_steps}, which is no whole number of epochs"
        raise wrong_argument("total_steps", got=got, allowed="epochs times steps_per_epoch", do="leave epochs out")
    return Horizon(1, total_steps)
