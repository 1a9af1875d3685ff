"""What a safe checkpoint costs: ResNet-18 with AdamW, written and read, against plain `torch.save` and `torch.load`.

lrlab's is written to the disk (fsync), replaces the one before only when it is whole, and has its CRC-32s checked
before it is read.
"""

import io
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import timing

WRITE, READ = "torch.save", "torch.load, weights_only"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("saving", __doc__, repeats=9)
    options = parser.parse_args(arguments)
    before = timing.machine()
    contents = state(small=options.quick)
    with tempfile.TemporaryDirectory(dir=timing.ROOT) as folder:
        tables = [
            timing.compare(title, cases, base=base, repeats=timing.repeats(options))
            for title, base, cases in compared(contents, Path(folder))
        ]
    timing.report("saving", tables, options, before)


def state(*, small: bool) -> dict[str, Any]:
    """Model and optimizer after one update."""
    import torch
    import torchvision

    torch.manual_seed(0)
    model = torch.nn.Linear(100, 10) if small else torchvision.models.resnet18(num_classes=10)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def compared(contents: dict[str, Any], folder: Path) -> list[tuple[str, str, dict[str, timing.Measure]]]:
    """Two tables: title, base, cases."""
    import torch

    from lrlab.runs import checkpoint

    buffer = io.BytesIO()
    torch.save(contents, buffer)
    size = f"ResNet-18 with AdamW, {buffer.getbuffer().nbytes / 1e6:,.0f} MB"
    plain, safe = folder / "plain.pt", folder / "safe" / "last.pt"
    safe.parent.mkdir()
    writes = {
        WRITE: partial(timed, lambda: torch.save(contents, plain)),
        "lrlab: synced, renamed, the one before kept": partial(
            timed, lambda: checkpoint.save(safe, contents, before=safe.with_name("previous.pt"))
        ),
        "torch.save, synced, renamed": partial(timed, lambda: synced(contents, folder)),
    }
    reads = {
        READ: partial(timed, lambda: torch.load(plain, weights_only=True)),
        "lrlab: checksums checked first": partial(timed, lambda: checkpoint.load(safe)),
    }
    return [(f"Writing {size}", WRITE, writes), (f"Reading {size}", READ, reads)]


def synced(contents: dict[str, Any], folder: Path) -> None:
    """What a careful user writes by hand; the one before is not kept, and the folder is not synced."""
    import os

    import torch

    temporary = folder / "synced.tmp"
    with temporary.open("wb") as file:
        torch.save(contents, file)
        file.flush()
        os.fsync(file.fileno())
    shutil.move(temporary, folder / "synced.pt")


def timed(work: Callable[[], Any]) -> timing.Measured:
    began = time.perf_counter()
    work()
    return {"ms": (time.perf_counter() - began) * 1000}


if __name__ == "__main__":
    main()
