"""What changed in the data of a run, in words, by what `lrlab.data.contents` lets a run remember of it."""

from collections.abc import Mapping, Sequence
from typing import Any


def difference(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    """What changed between the contents of two data sets, each by split; empty where nothing is known to have."""
    for split in ("train", "val", "test"):
        old, new = (_mapping(_mapping(whole).get(split)) for whole in (before, now))
        if old and new and old != new and (said := _changed(old, new, split)):
            return said
    return ""


def to_be_mended(contents: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What stays known of data in which a file has to be replaced: the classes and how many files each holds."""
    if contents is None:
        return None
    kept = {}
    for split, known in contents.items():
        classes = _mapping(_mapping(known).get("classes"))
        if classes:
            kept[split] = {"classes": {name: [_count(one), None] for name, one in classes.items()}}
    return kept or None


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], split: str) -> str:
    """What changed in one split."""
    was, is_now = old.get("fingerprint"), new.get("fingerprint")
    if was != is_now:
        return f"{split} had the fingerprint {was}, has {is_now}"
    before, now = _mapping(old.get("classes")), _mapping(new.get("classes"))
    gone, added = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
    if gone or added:
        kinds = (("without", gone), ("with the new", added))
        return f"{split} is " + " and ".join(f"{kind} {_named('class', names)}" for kind, names in kinds if names)
    for name in before:
        count, earlier = _count(now[name]), _count(before[name])
        if count != earlier:
            return f"{split}/{name} holds {count} files and held {earlier}"
    if said := _files(_mapping(old.get("files")), _mapping(new.get("files")), split, count=_all(before)):
        return said
    others = [name for name in before if _hash(before[name]) and _hash(before[name]) != _hash(now[name])]
    return f"{split} holds other files in {_named('class', others)}" if others else ""


def _files(before: Mapping[str, Any], now: Mapping[str, Any], split: str, *, count: int) -> str:
    """The first of the files that are remembered by name, of `count` in all, and that is not what it was."""
    for name in sorted(before.keys() & now.keys()):
        if before[name] != now[name]:
            return f"{split}/{name} is another file"
    if len(before) == len(now) == count:  # or else another choice of files is remembered
        for name in sorted(before.keys() - now.keys()):
            return f"{split}/{name} is gone"
    return ""


def _named(kind: str, names: Sequence[str], most: int = 3) -> str:
    """`class red`, or `classes red, blue and 5 more`."""
    plural = "es" if len(names) > 1 else ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{kind}{plural} {', '.join(names[:most])}{more}"


def _all(classes: Mapping[str, Any]) -> int:
    """How many files all classes hold."""
    counts = [_count(known) for known in classes.values()]
    return sum(count for count in counts if isinstance(count, int))


def _count(known: Any) -> Any:
    return known[0] if isinstance(known, list) and known else None


def _hash(known: Any) -> Any:
    """A text that is another one where the files of a class are; None where that is not known."""
    return known[1] if isinstance(known, list) and len(known) > 1 else None


def _mapping(value: Any) -> Mapping[str, Any]:
    """`value`, or nothing where a file that anybody may have written holds something else."""
    return value if isinstance(value, Mapping) else {}
