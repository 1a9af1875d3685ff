"""A page of every setting, from the comments of the files of `conf/`."""

from pathlib import Path

from schedule_pages import linked, plain, settings_table
from yaml_comments import CONF, read

PLACE = "reference/settings.md"
# In the order in which people need them. Schedulers have pages of their own.
GROUPS = {
    "trainer": "The loop",
    "data": "Data",
    "task": "Task",
    "model": "Model",
    "optimizer": "Optimizer",
    "tracking": "Who is told, beside TensorBoard",
    "hydra/launcher": "Sweeps",
}


def pages() -> dict[str, str]:
    """By place in the site."""
    parts = ["# Every setting", _intro(), "## The run itself"]
    parts.append(settings_table("", read(CONF / "config.yaml").settings).replace("`.", "`"))
    for group, title in GROUPS.items():
        parts.append(f"## {title}: `{group.replace('/', '.')}`")
        files = files_of(group)
        common = _common(files)
        if common:
            parts.append("These are in all of them, with the defaults of the first:")
            parts.append(
                settings_table(group.replace("/", "."), [one for one in read(files[0]).settings if one.key in common])
            )
        for path in files:
            parts += _option(group, path, common)
    return {PLACE: "\n\n".join(parts) + "\n"}


def files_of(group: str) -> list[Path]:
    """The files of a group, the default first."""
    defaults = {"data": "digits", "model": "cnn", "task": "classification", "optimizer": "sgd"}
    return sorted((CONF / group).glob("*.yaml"), key=lambda path: (path.stem != defaults.get(group), path.stem))


def _common(files: list[Path]) -> set[str]:
    """The settings that all files of a group explain in the same words; none where there is one file."""
    if len(files) == 1:
        return set()
    told = [{(one.key, one.meaning) for one in read(path).settings} for path in files]
    return {key for key, _ in set.intersection(*told)}


def _option(group: str, path: Path, common: set[str]) -> list[str]:
    explained = read(path)
    own = [one for one in explained.settings if one.key not in common]
    parts = [f"### `{group.replace('/', '.')}={path.stem}`" if group not in ("trainer", "hydra/launcher") else ""]
    parts += [
        linked(plain(explained.about)),
        f"    {explained.example}" if explained.example else "",
        linked(plain(explained.used)),
    ]
    if own:
        parts.append(settings_table(group.replace("/", "."), own))
    return [part for part in parts if part]


def _intro() -> str:
    return (
        "A setting is typed as `GROUP.KEY=VALUE`. The defaults and the explanations are those of the files in `conf/`. "
        "The settings of a schedule are on [its page](schedules/index.md). A duration is `25` (counts of the "
        "scheduler's interval), `5ep` (epochs), `500st` (updates), `50_000im` (images) or `25%` (of the run). "
        "`null` means none."
    )
