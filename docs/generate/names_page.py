"""A page of every name of `import lrlab`, from its docstring."""

import ast

from yaml_comments import ROOT

PLACE = "reference/python.md"
# By heading, in the order in which people need them.
HEADINGS = {
    "Schedules": (
        "schedule",
        "schedule_names",
        "Schedule",
        "NamedSchedule",
        "preview",
        "check",
        "Curves",
        "Curve",
        "Findings",
    ),
    "A loop of your own": ("watch", "Watch", "ScheduleWarning"),
    "Training": ("train", "sweep", "find_lr", "Run", "Runs", "FoundLR"),
    "Comparing and predicting": ("compare", "Compared", "ComparedStudy", "predict", "Predictions", "advise", "Advice"),
    "Other libraries": (*("from_transformers", "to_transformers", "from_timm", "to_timm", "to_optax", "to_keras"),),
    "Errors": ("UserError",),
}
_INTRO = (
    "`import lrlab` offers these, and [every schedule by its name](schedules/index.md). "
    "[How they are used](../python.md)."
)


def homes() -> dict[str, str]:
    """Where each public name is at home: `lrlab.api.curves.check`."""
    tree = ast.parse((ROOT / "lrlab" / "__init__.py").read_text())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {one.asname: f"{node.module}.{one.name}" for one in node.names if one.asname}
    return found


def pages() -> dict[str, str]:
    """By place in the site."""
    places = homes()
    parts = ["# Every name in Python", _INTRO]
    for heading, names in HEADINGS.items():
        parts.append(f"## {heading}")
        parts += [f"::: {places[name]}\n    options: {{heading_level: 3}}" for name in names]
    return {PLACE: "\n\n".join(parts) + "\n"}
