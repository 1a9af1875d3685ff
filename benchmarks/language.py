"""Milliseconds of an update of the character model: lrlab's complete run beside the loop that everybody writes.

The model, its initial weights, the text, the batches and their order are the same. Timed are whole epochs, as in
`benchmarks.training`. lrlab's run has TensorBoard at every update, the history, the live bar on a terminal and a
checkpoint an epoch; nobody validates.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import timing
from benchmarks.processes import measure
from benchmarks.runs import Clock, composed, train

BASE, OURS = "bare loop, tensors by index", "lrlab, complete run"
EPOCHS, BATCH, LR, SEED = 5, 32, 0.003, 0
MODELS = {
    "2 blocks, 64 wide": ("model.depth=2", "model.width=64"),
    "4 blocks, 128 wide": ("model.depth=4", "model.width=128"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("language", __doc__, repeats=5)
    options = parser.parse_args(arguments)
    before = timing.machine()
    tables = []
    for title, model in MODELS.items():
        if options.quick and tables:
            break
        cases = {way: partial(measure, "language:cost", threads=1, way=way, model=model) for way in (BASE, OURS)}
        tables.append(timing.compare(title, cases, base=BASE, repeats=timing.repeats(options)))
        require_same_work(tables[-1])
    timing.report("language", tables, options, before, batch_size=BATCH, epochs=EPOCHS)


def require_same_work(table: timing.Table) -> None:
    """Stop where lrlab, which took the same batches as the base, did not arrive at the same loss."""
    losses = {row["name"]: row["loss at the end"] for row in table.rows}
    if OURS in losses and abs(losses[OURS] / losses[BASE] - 1) > 0.01:
        raise SystemExit(f"{table.title}: lrlab's loss is {losses[OURS]}, and the bare loop's {losses[BASE]}")


def overrides(model: Sequence[str]) -> list[str]:
    """The run of lrlab; validation, which the bare loop has not, only at its end."""
    return [
        *("data=text", f"data.batch_size={BATCH}", "task=language", "model=transformer", *model),
        *("optimizer=adamw", f"optimizer.lr={LR}", "scheduler=cosine", f"trainer.epochs={EPOCHS}", f"seed={SEED}"),
        *("trainer.eval_every=1000000", "trainer.monitor=train_loss", "trainer.device=cpu"),
    ]


def cost(way: str, model: Sequence[str]) -> timing.Measured:
    """Milliseconds of an update, and the loss on the first windows after all of them."""
    import torch
    import torch.nn.functional as F

    from lrlab.config import build, compose
    from lrlab.data.text import text
    from lrlab.runs import checkpoint
    from lrlab.system import randomness

    clock = Clock()
    splits = text()
    inputs, targets = (tensor.long() for tensor in splits.train.tensors)  # type: ignore[attr-defined]
    updates = -(-len(inputs) // BATCH)
    randomness.seed_everything(SEED)
    network = build.build_model(compose.resolve(composed(overrides(model)))["model"], splits.interface)
    if way == OURS:
        folder: Path = train(overrides(model), clock).folder
        network.load_state_dict(checkpoint.load(folder / checkpoint.LAST)["state"]["model"])
    else:
        optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
        network.train()
        for epoch in range(EPOCHS):
            clock.epoch_begins()
            # lrlab's own order, so that the results can be compared; any other costs the same.
            order = torch.randperm(len(inputs), generator=randomness.generator(SEED, "order", epoch))
            for part in order.split(BATCH):
                logits = network(inputs[part])
                loss = F.cross_entropy(logits.flatten(0, 1), targets[part].flatten())
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            scheduler.step()
    with torch.no_grad():
        logits = network.eval()(inputs[:500])
    found = F.cross_entropy(logits.flatten(0, 1), targets[:500].flatten()).item()
    return {"ms per update": clock.seconds() / updates * 1000, "loss at the end": found}
