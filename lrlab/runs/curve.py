"""Which points of a curve are recorded: enough to draw it exactly, few enough for TensorBoard."""


class RecordedCurve:
    """Decides which points of one LR curve are kept: every `stride`-th, and those around every corner between them.

    A corner is where the LR starts or stops changing, turns, or jumps. So staircases and spikes stay exact however long
    the run is. At most four corners are kept between two even points where the LR changes at every update.
    """

    def __init__(self, tag: str, stride: int):
        self.tag = tag
        self.stride = stride
        self.recent: list[tuple[int, float, bool]] = []  # the two latest: step, LR, whether it is recorded
        self.corners = 0  # kept since the last evenly spaced point

    def add(self, step: int, lr: float, even: bool) -> list[tuple[int, float]]:
        """The points (step, lr) to record now that update `step` used `lr`. An `even` one is recorded in any case."""
        if self.stride == 1:
            return [(step, lr)]
        points = []
        if len(self.recent) == 2:
            (_, first, _), (middle_step, middle, recorded) = self.recent
            beside_a_flat = (first == middle) != (middle == lr)
            if not recorded and (beside_a_flat or (self.corners < 4 and _is_corner(first, middle, lr))):
                points.append((middle_step, middle))
                self.corners += not beside_a_flat
        if even:
            points.append((step, lr))
            self.corners = 0
        self.recent = [*self.recent[-1:], (step, lr, even)]
        return points


def _is_corner(first: float, middle: float, last: float) -> bool:
    """Whether three LRs in a row turn, or their two differences differ by more than a factor of 4."""
    before, after = middle - first, last - middle
    small, large = sorted((abs(before), abs(after)))
    return before * after < 0 or large > 4 * small + 1e-12 * abs(middle)
