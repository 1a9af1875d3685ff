"""How a run under way will end: a law fitted to its losses so far, asked for the LRs that are still planned.

The intervals were measured on digits and MNIST, 12 schedules at three LRs each: with a third of the run done, nine in
ten predictions were off by a factor of 2.2 or less, at half by 1.8, at two thirds by 1.4, and near the end by 1.2. They
are worst where the LR has yet to fall, for how much of the loss is its noise is not seen before.
"""

import math

from lrlab.forecast import uncertainty
from lrlab.forecast.fit import LossCurve, TooLittle, fit, leave_out_error
from lrlab.forecast.laws import BOUND
from lrlab.forecast.uncertainty import Doubt, Predicted

BEGINS = 1 / 3  # of the updates, before which the end is not foretold
_LEAST, _LEFT, _TO_FALL, _BEND = 0.03, 0.5, 0.6, 3  # of the error: at the end, and for what is left of the run


def of_the_end(curve: LossCurve, at: int | None = None) -> Predicted:
    """The loss after all updates, or after `at` of them, of a run whose losses so far are `curve`'s.

    Its LRs (T,) are those of the whole run, applied and planned. Raises TooLittle, with the reason, where there are too
    few losses, and where the law is far off on those that it was not fitted to.
    """
    fitted, error = fit([curve], BOUND), leave_out_error([curve], BOUND)
    if error > uncertainty.MOST_LEAVE_OUT:
        raise TooLittle(f"the law is {error:.0%} off where it was left out so far")
    lrs, done = curve.lrs, int(curve.updates[-1])
    left = 1 - done / len(lrs)
    to_fall = max(0.0, float(lrs[min(done, len(lrs) - 1)] - lrs[-1])) / float(lrs.max())
    deviation = _LEAST + (_LEFT + _TO_FALL * to_fall**_BEND) * left
    return Doubt(deviation, seeds=0.0).around(float(fitted.losses(lrs, [at or len(lrs)])[0]))


def is_early(done: int, updates: int) -> bool:
    """Whether it is too early to foretell the end."""
    return done < math.ceil(BEGINS * updates)
