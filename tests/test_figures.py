"""Figures in sentences are those of the stored results that they come from.

A claim is some words of a page with a figure in them, made of what a benchmark has stored; the page has to have these
words. The tables that `python -m benchmarks docs` writes are no part of it: `test_benchmarks` holds those.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import ROOT

from benchmarks import __main__ as command
from benchmarks import docs, forecast_runs, led_studies
from benchmarks.recipes import RECIPES
from benchmarks.timing import FOLDER
from lrlab.forecast.bound import base_lr_ratio

ADVISING, AVERAGES, CHOOSING, PREDICTING = (
    f"docs/{name}.md" for name in ("advising", "averages", "choosing", "predicting")
)
PYTHON, RELIABILITY, SPEED, STUDIES, SWEEPS = (
    f"docs/{name}.md" for name in ("python", "reliability", "speed", "studies", "sweeps")
)
FAIR, LOSS, PLOTS, PREDICTION, SCALE = (
    f"docs/explanations/{name}.md" for name in ("fair", "loss", "plots", "prediction", "scale")
)
README, ENGLISH, JAPANESE = "README.md", "docs/lesson/index.md", "docs/lesson/ja.md"
PAGES = (README, "CHANGELOG.md", *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))))
# Benchmarks beside whose command a page has a figure that is none of their results, and why.
NO_CLAIM = {
    (SPEED, "gpu"): "no result is stored: it was measured once, and stopped",
    (STUDIES, "honesty"): "1 is the deviation of the noise that is fabricated",
}
SETTINGS = {**forecast_runs.DEVELOPMENT, **forecast_runs.REPORT}
ONE, TWO = "from cosine", "from constant + cosine"  # what is trained for a forecast
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

Made = Iterator[tuple[Any, ...]]  # a page, words of it with places for figures, and the figures
Result = Mapping[str, Any]


class Claim(NamedTuple):
    stored: str
    page: str
    words: str


# How figures are printed


def shown(value: object, digits: int = 0) -> str:
    """Rounded half up, as one does by hand."""
    return str(Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def percent(share: object, digits: int = 0) -> str:
    return shown(Decimal(str(share)) * 100, digits)


def ends(values: Iterable[float], digits: int = 0, how: Callable[[object, int], str] = shown) -> tuple[str, str]:
    """The least and the greatest."""
    values = [*values]
    return how(min(values), digits), how(max(values), digits)


def word(count: float) -> str:
    return WORDS[int(count)] if count in range(len(WORDS)) else str(count)


def listed(words: list[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)]


def first(row: Mapping[str, str], column: str) -> float:
    """A cell's number; of a mean and its deviation, the mean."""
    return numbers(row[column])[0]


def table(result: Result, title: str) -> dict[str, dict[str, Any]]:
    """The rows of the table whose title has these words."""
    [rows] = [one["rows"] for one in result["tables"] if title in one["title"]]
    return {row["name"]: row for row in rows}


# What is made of each stored result


def advice(result: Result) -> Made:
    [one] = result["tables"]
    _, schedules, lrs, seeds = map(int, numbers(one["title"]))
    yield ADVISING, "asks for advice on {} tasks", word(len(one["rows"]))
    grid = (schedules, word(lrs), word(seeds), schedules * lrs * seeds)
    yield ADVISING, "the best of a grid of {} schedules, {} LRs and {} seeds, {} runs", *grid


def averages(result: Result) -> Made:
    mlp, losses = table(result, "MLP"), table(result, "Digits")
    yield AVERAGES, "constant LR alone ends at a loss of {}", shown(first(losses.pop("constant"), "val loss"), 2)
    others = ends((first(row, "val loss") for row in losses.values()), 2)
    yield AVERAGES, "and both decays and averages end between {} and {}", *others
    tenths = shown(10 * (mlp["ema of every update"]["ratio"] - 1))
    milliseconds = word(float(shown(mlp["no average"]["ms per update"])))
    yield AVERAGES, "about {} of an update for an MLP of {} millisecond", {"1": "a tenth"}.get(tenths), milliseconds


def bank(result: Result) -> Made:
    loss, accuracy = (table(result, f"studies by {metric}") for metric in ("loss", "accuracy"))
    found = [shown(first(rows["all three in order"], "found")) for rows in (loss, accuracy)]
    yield STUDIES, "Judged by the loss, a study finds the whole order in {} % of cases", found[0]
    yield STUDIES, "whose differences are smaller beside their noise, in {} %", found[1]
    false = max(first(row, "claimed falsely") for row in (*loss.values(), *accuracy.values()))
    yield STUDIES, "{} study claimed anything false", word(false).capitalize()
    studies = sum(numbers(one["title"])[0] for one in result["tables"] if "redrawn" in one["title"])
    yield FAIR, "redrawn {} times", {1000: "a thousand"}.get(int(studies))


def bank_runs(rows: list[Any]) -> Made:
    yield STUDIES, "redraws studies from {} real runs", len(rows)


def defaults(result: Result) -> Made:
    [one] = result["tables"]
    best, *others = [row["name"] for row in sorted(one["rows"], key=lambda row: first(row, "at its own best LR"))]
    tasks, schedules = word(numbers(one["title"])[1]), word(len(one["rows"]))
    yield README, "**No idea?** Take `{}`", best
    yield README, "over {} tasks it was, with `{}`, nearest to the best of {} schedules", tasks, others[0], schedules
    yield CHOOSING, "**Take `{}`**", best
    yield CHOOSING, "relative to the lowest of the {} in its setting", schedules
    yield SCALE, "of small models on {} tasks, the same schedules lead: {} and", tasks, best
    lead = (schedules, *others[1:4], others[-1])
    yield SCALE, "nearest to the best of {}, then {}, {} and {}, and a {} LR is last", *lead
    yield ENGLISH, "`{}`, which was nearest to the best", best
    yield JAPANESE, "最良にいちばん近かった `{}`", best


def faults(result: Result) -> Made:
    killed, signals = table(result, "Killed"), table(result, "Asked to stop")
    yield RELIABILITY, "{} of them in `python -m benchmarks faults`", killed["all"]["kills in training"]
    alone = [name for name in killed if name != "all" and "," not in name]
    yield RELIABILITY, "for {} schedulers, two ranks, and loader workers", word(len(alone))
    moments = sorted({str(row["signals in training"]) for row in signals.values()})
    yield RELIABILITY, "`benchmarks faults`: {} random moments each", " or ".join(moments)
    yield RELIABILITY, "broken on purpose, in {} ways", word(len(table(result, "on purpose")))


def forecast(result: Result) -> Made:
    both = [table(result, "Report: all forecasts")[mode] for mode in (ONE, TWO)]

    def of(column: str, digits: int = 1) -> list[str]:
        return [percent(row[column], digits) for row in both]

    def span(*columns: str) -> tuple[str, str]:
        return ends((row[column] for row in both for column in columns), 1, percent)

    yield PREDICTING, "{} % of forecasts are answered from one run, {} % from two", *of("answered", 0)
    yield PREDICTING, "The law is {} % off from cosine, {} % from constant and cosine", *of("error")
    yield PREDICTING, "its 90 % intervals hold {} and {} % of the means", *of("inside", 0)
    yield PREDICTING, "The pick costs {} % more than the best schedule from one run and {} % from two", *of("regret")
    yield PREDICTING, "a single choice of seeds makes {} to {} %", *span("noise of a regret")
    yield PREDICTING, "always cosine and always linear cost {} to {} %", *span("always cosine", "always linear")
    yield PREDICTING, "**Always wsd costs {} to {} %", *span("always wsd")
    tau = [shown(row["tau"], 2) for row in both]
    yield PREDICTION, "by {} on new tasks (Kendall's tau), from a constant and a cosine run by {}", *tau
    yield PREDICTION, '"always wsd" cost {} to {} %', *span("always wsd")
    yield PREDICTION, "the pick of the law {} % from one run and {} % from two", *of("regret")
    yield PREDICTION, '"Always cosine" cost {} to {} %', *span("always cosine")
    yield from forecast_of_settings(result)


def forecast_of_settings(result: Result) -> Made:
    def rows(part: str, mode: str) -> list[dict[str, Any]]:
        """Those of the trained schedules; `far` is at four times the right LR."""
        found = []
        for label, row in table(result, f"{part}: the validation loss").items():
            name, lr, trained = label.split(", ")
            if trained == mode:
                place = {"name": name, "setting": f"{name}, {lr}", "far": lr == f"LR {4 * SETTINGS[name].lr:g}"}
                found.append({**row, **place})
        return found

    development, report = ([rows(part, mode) for mode in (ONE, TWO)] for part in ("Development", "Report"))
    far = [[row for row in several if row["far"]] for several in (*development, *report)]
    refused = [percent(1 - np.mean([row["answered"] for row in several])) for several in far]
    wrong = [[row["error"] for row in several if "error" in row] for several in far]
    both = (refused[0], "all" if refused[1] == "100" else f"{refused[1]} %")
    yield PREDICTING, "{} % of the development's forecasts from one run are refused, and {} from two", *both
    yield PREDICTING, "Of the report's, which are steadier, {} and {} % are", *refused[2:]
    most = [percent(max(several)) for several in (wrong[0] + wrong[1], wrong[2] + wrong[3])]
    yield PREDICTING, "errors up to {} % on the development's tasks and up to {} % on the report's", *most
    yield PREDICTION, "it refused {} to {} %; what it answered there was wrong by", *sorted(refused[2:], key=float)
    yield PREDICTION, "what it answered there was wrong by {} to {} %", *ends(wrong[2] + wrong[3], 0, percent)
    worst = max(far[2] + far[3], key=lambda row: row.get("regret", 0))
    yield PREDICTION, "one of its picks lost {} %", percent(worst["regret"])
    task = {"characters_gpt_adamw": "characters with AdamW"}[worst["name"]]
    yield PREDICTING, "the {} at four times the right LR, {} %", task, percent(worst["regret"])
    others = [[row for row in several if row["answered"] and row["setting"] != worst["setting"]] for several in report]
    weights = [[row["answered"] for row in several] for several in others]
    without = []
    for column in ("regret", "always wsd"):
        values = [[row[column] for row in several] for several in others]
        without += [percent(np.average(*one), 1) for one in zip(values, (None, None), weights, strict=True)]
    yield PREDICTING, "Without it the regret is {} and {} %, where always wsd costs {} and {} %", *without
    noisy = [row for row in development[0] + development[1] if row["name"].startswith("digits_cnn")]
    asked, found = (forecast_runs.SEEDS * count for count in (len(noisy), sum(row["answered"] for row in noisy)))
    spread = ends((row["noise of a seed"] for row in noisy), 0, percent)
    yield PREDICTING, "is refused in {} of {} forecasts", shown(asked - found), asked
    yield PREDICTING, "forecasts: a seed differs from another by {} to {} %", *spread
    tens = [10 * int(shown(float(one) / 10)) for one in spread]
    yield PLOTS, "one seed differs from another by {} to {} % of the loss (the digits CNN)", *tens


def forecast_bank(files: Result) -> Made:
    runs = sum(schedules * lrs * seeds for schedules, lrs, seeds in files["shapes"])
    schedules, lrs, seeds = (" or ".join(map(word, sorted({*count}))) for count in zip(*files["shapes"], strict=True))
    yield CHOOSING, "This rests on {:,} runs", round(runs, -2)
    yield CHOOSING, "at its own best LR of {}, and at common ones", lrs
    yield PREDICTING, "asks the law about {} schedules", schedules
    yield PREDICTING, "Every number is a mean over {} seeds", seeds
    yield LOSS, "the final losses of {} other schedules", word(files["shapes"][0][0] - 1)
    fresh = {len(one["losses"]) for one in files["advice"].values()}
    yield ADVISING, "trains what is said with {} fresh seeds", " or ".join(map(word, fresh))


def led(result: Result) -> Made:
    both = [table(result, f"by {metric}") for metric in ("accuracy", "loss")]
    full, by_cosine = ([rows[name] for rows in both] for name in ("tuned in full, again", "led by cosine"))
    again, other = ([shown(first(row, "verdicts that differ")) for row in rows] for rows in (full, by_cosine))
    yield STUDIES, "differ in {} % of pairs by accuracy and in {} % by the loss; where one of them is led", *again
    yield STUDIES, "where one of them is led, in {} and {} %", *other
    schedules = word(numbers(result["tables"][0]["title"])[1])
    yield STUDIES, "measured on {} schedules of a digits MLP", schedules
    runs = [rows[0]["tuning runs"] for rows in (by_cosine, full)]
    yield STUDIES, "{} candidates take {} instead of {}", schedules, *runs


def lesson(result: Result) -> Made:
    by_lr, long = table(result, "constant and falling"), table(result, "schedulers over")
    kinds = ("constant: val loss", "cosine: val loss")
    (low_constant, low_cosine), (high_constant, high_cosine) = (
        [numbers(by_lr[lr][kind]) for kind in kinds] for lr in ("0.1", "0.3")
    )
    ratios = [shown(low_constant[0] / low_cosine[0], 1), shown(high_constant[0] / high_cosine[0], 1)]
    yield ENGLISH, "leaves {} times as much loss as the one that falls, and {} times at 0.3", *ratios
    yield JAPANESE, "下げた場合の {} 倍、0.3 では {} 倍です", *ratios
    seeds = [shown(deviation, 3) for _, deviation in (low_constant, low_cosine)]
    yield ENGLISH, "the standard deviation between seeds is {} with a constant LR, and {} with a cosine", *seeds
    yield JAPANESE, "一定の LR で {}、コサインで {} です", *seeds
    both = {name: numbers(row["val loss"]) for name, row in long.items()}
    end = {name.replace(", ", " "): shown(mean, 3) for name, (mean, _) in both.items()}
    lowest, epoch = numbers(long["constant"]["lowest"])
    low, parts = shown(lowest, 3), {"2": ("half", "半分")}.get(shown(both["constant"][0] / lowest), ("", ""))
    point = (low, int(epoch), parts[0], end["constant"])
    yield ENGLISH, "Its lowest point, {} after {} epochs, is {} of where it ends, {}.", *point
    yield JAPANESE, "{} エポック終了時の {} で、終わりの {} の{}です", int(epoch), low, end["constant"], parts[1]
    yield ENGLISH, "it stands still, at {}", end["ExponentialLR"]
    yield JAPANESE, "エポック 50 からは {} で止まっています", end["ExponentialLR"]
    yield ENGLISH, "about 0.09, 0.045, {}", end["CosineAnnealingLR T_max 20"]
    yield JAPANESE, "およそ 0.09、0.045、{} です", end["CosineAnnealingLR T_max 20"]
    falling = [one for name, one in both.items() if name != "constant"]
    means, spreads = (ends(kind, 2) for kind in zip(*falling, strict=True))
    yield ENGLISH, "all that fall are between {} and {}, with {} to {} between seeds", *means, *spreads
    yield JAPANESE, "どれも {} から {} で、シード間のばらつきは {} から {} です", *means, *spreads
    yield ENGLISH, "CyclicLR's {} included. Not even the constant LR, at {}", end["CyclicLR"], end["constant"]
    yield JAPANESE, "CyclicLR の {} も含めて、区別できません。{} の一定の LR", end["CyclicLR"], end["constant"]
    pairs = len(long) * (len(long) - 1) // 2 - 1
    yield ENGLISH, "judged together with {} other pairs", pairs
    yield JAPANESE, "ほかの {} 組と", pairs
    yield from lesson_of_bank(result)


def lesson_of_bank(result: Result) -> Made:
    def rows(title: str, name: str) -> list[dict[str, str]]:
        """At a quarter of the right LR, at that, and at four times it."""
        return [row for own, row in table(result, title).items() if own.startswith(name)]

    gpt, mlp = rows("warm-up", "characters_gpt"), rows("warm-up", "mnist_mlp")
    gained: dict[str, list[float]] = {"gpt": [], "mlp": []}
    for name in ("cosine", "linear"):
        gained["gpt"] += [1 - first(row, "onecycle") / first(row, name) for row in gpt[:2]]
        gained["mlp"] += [first(row, "onecycle") / first(row, name) - 1 for row in mlp[:2]]
    gain, cost = (ends(values, 0, percent) for values in gained.values())
    yield ENGLISH, "the warm-up gains the GPT {} to {} %, and costs the MLP {} to {} %", *gain, *cost
    yield JAPANESE, "ウォームアップによる改善は、GPT で {} から {} % です", *gain
    yield JAPANESE, "{} から {} % の損になります", *cost
    warm, cold = shown(first(gpt[2], "onecycle"), 2), ends((first(gpt[2], name) for name in ("cosine", "linear")), 1)
    yield ENGLISH, "the GPT ends at {} with a warm-up and at {} to {} without", warm, *cold
    yield JAPANESE, "GPT はウォームアップありで {}、なしで {} から {} です", warm, *cold
    values = [first(row, name) for row in mlp for name in ("cosine", "linear", "onecycle")]
    yield ENGLISH, "{} is the lowest of its {} values", shown(min(values), 3), word(len(values))
    yield JAPANESE, "{} は {} つの値の中で最小です", shown(min(values), 3), len(values)
    for task in ("mnist", "friedman"):
        adam, sgd = (rows("Adam", f"{task}_mlp_{name}")[1] for name in ("adam", "sgd"))
        by_adam, by_sgd = ([shown(first(row, name), 3) for name in ("cosine", "constant")] for row in (adam, sgd))
        kind, japanese = {"mnist": ("MNIST", "MNIST で"), "friedman": ("the regression", "回帰で")}[task]
        yield ENGLISH, "{} in place of {} on {}", *by_adam, kind
        yield JAPANESE, "{2} {1} から {0} に", *by_adam, japanese
        yield ENGLISH, {"mnist": "with SGD {} in place of {}", "friedman": "and {} in place of {}."}[task], *by_sgd
        yield JAPANESE, {"mnist": "SGD では {1} から {0} に", "friedman": "{1} から {0} になります"}[task], *by_sgd
    diverged = str(rows("Adam", "")).count("diverged")
    yield ENGLISH, "{} diverged", word(diverged).capitalize()
    yield JAPANESE, "発散したのは {} つ", diverged


def recipes(result: Result) -> Made:
    for row in table(result, "published and found").values():
        if row["95% interval"] == "-":
            continue  # too few seeds
        figures = (row["found"].rstrip("%"), row["95% interval"].replace("%", ""), row["published is"])
        yield f"conf/experiment/{row['name']}.yaml", "({} %, {}): the published figure is {}", *figures

    row = table(result, "differences")["published_schedule_free less published_adadelta_step"]
    ahead = (row["found, points"], row["95% interval"], row["published, points"])
    said = "is ahead by {} points ({}), where {} was published from one run each"
    for place in ("conf/experiment/published_adadelta_step.yaml", "docs/recipes.md"):
        yield place, said, *ahead

    others = [f"published_lenet_onecycle less published_lenet_{name}" for name in ("inv", "plateau")]
    inv, plateau = (table(result, "differences")[name] for name in others)
    said = "ahead of `inv` by {} points ({}), where {} was published, and of the plateau by {} ({}), where {} was"
    parts = [(row["found, points"], row["95% interval"], row["published, points"]) for row in (inv, plateau)]
    yield "docs/recipes.md", said, *chain.from_iterable(parts)

    rows = table(result, "budgets").values()
    page = "conf/experiment/published_budgets.yaml"
    gains = listed([row["line less steps, points"] for row in rows])
    yield page, "of the steps on {} %: {} points", ", ".join(row["name"].rstrip("%") for row in rows), gains
    errors = [row["straight line"].rstrip("%") for row in rows]
    yield page, "of errors of {} to {} %", errors[0], errors[-1]
    told = [row["name"].rstrip("%") for row in rows if row["simultaneous 95% interval"].count("-") == 2]
    yield page, "five seeds tell it on {} %", listed(told)


def recipes_runs(rows: list[Any]) -> Made:
    for name in RECIPES:
        own = [row for row in rows if row["recipe"] == name]
        if len({row["lr"] for row in own}) == 1:
            shares, seeds = listed([percent(row["accuracy"], 2) for row in own]), listed([row["seed"] for row in own])
            counted = "seeds" if len(own) > 1 else "seed"
            yield f"conf/experiment/{name}.yaml", "Gave: {} % with {} {}", shares, counted, seeds


def scale(result: Result) -> Made:
    rows = table(result, "planning 10,000 runs").values()
    seconds = [word(float(one)) for one in ends(row["seconds"] for row in rows)]
    yield SWEEPS, "ten thousand in {} to {} seconds", *seconds
    most = shown(max(row["ms per run"] for row in rows))
    yield SPEED, "the rest is {} a run", {"1": "a millisecond"}.get(most)


def seal(result: Result) -> Made:
    ways = [name for name in table(result, "A CRC-32") if name != "all"]
    yield RELIABILITY, "damages the checkpoint of a run in {} ways", word(len(ways))


def sweep(result: Result) -> Made:
    rows = table(result, "200 epochs of 21 updates, mlp")
    steps = ends(row["seconds"] for name, row in rows.items() if "in one step" in name)
    alone = shown(rows["lrlab, two at a time"]["seconds"])
    yield SWEEPS, "these 108 runs took {} to {} s, and {} s without `stack`", *steps, alone


def watching(result: Result) -> Made:
    rows = table(result, "1 parameter group")
    costs = [rows["watched"][end] - rows["optimizer.step() alone"][end] for end in ("lowest", "highest")]
    yield PYTHON, "A hook costs {} to {} microseconds an update (one parameter group, CPU)", *ends(costs)


MAKERS: Mapping[str, Callable[[Any], Made]] = {
    **{"advice": advice, "averages": averages, "bank": bank, "bank_runs": bank_runs, "defaults": defaults},
    **{"faults": faults, "forecast": forecast, "forecast_bank": forecast_bank, "led_studies": led, "lesson": lesson},
    **{"recipes": recipes, "recipes_runs": recipes_runs, "scale": scale, "seal": seal, "sweep": sweep},
    "watching": watching,
}


@cache
def stored() -> dict[str, Any]:
    """All results: tables, runs, and of the bank of curves how many there are."""
    runs = {path.stem: [*csv.DictReader(path.read_text().splitlines())] for path in FOLDER.glob("*.csv")}
    shapes = [forecast_runs.read(name)["val"].shape[:3] for name in SETTINGS]
    advised = json.loads((forecast_runs.BANK / "advice.json").read_text())
    return {**docs.results(), **runs, "forecast_bank": {"shapes": shapes, "advice": advised}}


def made(name: str, result: Any) -> list[Claim]:
    return [Claim(name, page, words.format(*figures)) for page, words, *figures in MAKERS[name](result)]


CLAIMS = {name: made(name, stored()[name]) for name in MAKERS}
ALL = [claim for several in CLAIMS.values() for claim in several]


def written(page: str) -> str:
    """A page without the tables that are filled in."""
    return docs._PLACE.sub("", (ROOT / page).read_text())


@cache
def prose(page: str) -> str:
    """A page in one line, without the signs of a YAML file's comments."""
    return " ".join(re.sub(r"^# *", "", written(page), flags=re.MULTILINE).split())


def is_said(claim: Claim) -> bool:
    """Whether the page has these words, and no longer number at either end."""
    words = rf"(?<!\d)(?<!\d[.,]){re.escape(claim.words)}(?!\d|[.,]\d)"
    return claim.words in prose(claim.page) and bool(re.search(words, prose(claim.page)))


@pytest.mark.parametrize(
    "claim", [pytest.param(one, id=f"{one.page}, {one.stored}: {re.sub('[^ -~]+', '~', one.words)}") for one in ALL]
)
def test_a_figure_is_that_of_its_result(claim):
    assert is_said(claim), f"{claim.page} does not say what {claim.stored} has: {claim.words}"


def changed_once(result: dict[str, Any]) -> Iterator[None]:
    """One title or cell after another has other digits, and one row after another is missing."""
    for one in result["tables"]:
        for place in (one, *one["rows"]):
            for key in place.keys() - {"name", "rows", "base", "left_out"}:
                value = place[key]
                place[key] = type(value)(str(value).translate(str.maketrans("0123456789", "1234567890")))
                yield
                place[key] = value
        rows = one["rows"]
        for missing in range(len(rows)):
            one["rows"] = rows[:missing] + rows[missing + 1 :]
            yield
        one["rows"] = rows


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MAKERS if "tables" in stored()[name]])
def test_another_value_in_a_result_is_noticed(name):
    """For each claim there is a cell or a row which, when it is another one, makes the page wrong."""
    result = json.loads(json.dumps(stored()[name]))
    unnoticed = {*range(len(CLAIMS[name]))}
    for _ in changed_once(result):
        with suppress(KeyError, IndexError, ValueError):  # a row that a claim is made of is missing
            other = made(name, result)
            if len(other) == len(CLAIMS[name]):
                unnoticed -= {place for place, claim in enumerate(other) if not is_said(claim)}
    assert not [CLAIMS[name][place] for place in unnoticed]
    assert result == stored()[name]


def figures_beside_commands() -> set[tuple[str, str]]:
    """Pages, and benchmarks whose command stands in a paragraph of theirs that has a figure."""
    found = set()
    for page in PAGES:
        for paragraph in re.split(r"\n\s*\n|\n(?=\||[*-] )", written(page)):
            plain = re.sub(r"`[^`]*`|\]\([^)]*\)", "", paragraph)
            if re.search(r"(?<![\w.])\d[\d.,]*(?!\w)", plain):
                found |= {(page, name) for name in re.findall(r"`python -m benchmarks (\w+)", paragraph)}
    return {(page, name) for page, name in found if name in command.NAMES}


def test_figures_beside_the_command_of_a_benchmark_are_claims():
    assert figures_beside_commands() - {(claim.page, claim.stored) for claim in ALL} == NO_CLAIM.keys()


def test_ratios_of_best_lrs_are_those_of_the_runs_and_of_the_bound():
    runs = stored()["led_runs"]
    losses: dict[str, dict[float, list[float]]] = {}
    for row in runs:
        losses.setdefault(row["scheduler"], {}).setdefault(float(row["lr"]), []).append(float(row["val_loss"]))
    means = {name: {lr: np.mean(values) for lr, values in by_lr.items()} for name, by_lr in losses.items()}
    best = {name: min(by_lr, key=by_lr.__getitem__) for name, by_lr in means.items()}
    ratios, bound = {name: lr / best[led_studies.LEADER] for name, lr in best.items()}, led_studies.ratios()
    seen, said = ([shown(one[name], 2) for name in ("wsd", "exponential", "constant")] for one in (ratios, bound))
    step = led_studies.LRS[-1] / led_studies.LRS[-2]
    assert f"in a bank of {len(runs):,} runs of an MLP on digits" in prose(LOSS)
    times = "the best LR of `wsd`, `exponential` and `constant` was {}, {} and {} times that of `cosine`".format(*seen)
    says = "in steps of {}, where the bound says {}, {} and {}".format(shown(step, 1), *said)
    assert f"{times}, {says}" in prose(LOSS)
    assert all(1 / step < ratio / bound[name] < step for name, ratio in ratios.items())
    assert f"right to within a step of the grid for {word(len(ratios))} schedules of one task" in prose(PREDICTION)


def test_what_the_lr_that_follows_costs_is_that_of_the_banks():
    """In those with steps of two, over all schedules but the leader: what its own LR and the one that follows lose."""
    leader = forecast_runs.SCHEDULES.index(led_studies.LEADER)
    following, same = [], []
    for name, setting in SETTINGS.items():
        if setting.multiples == forecast_runs.GRID:
            curves, lrs = forecast_runs.read(name), np.array(setting.lrs)
            shapes = [np.trim_zeros(shape, "b") for shape in curves["shapes"]]
            losses = forecast_runs.finals(curves, "val").mean(axis=-1)  # (schedule, LR)
            lost, own = losses / losses.min(axis=1, keepdims=True) - 1, losses[leader].argmin()
            others = [index for index in range(len(shapes)) if index != leader]
            wanted = [lrs[own] * base_lr_ratio(shapes[index], shapes[leader]) for index in others]
            following.append(lost[others, [np.abs(np.log(lrs / lr)).argmin() for lr in wanted]].mean())
            same.append(lost[others, own].mean())
    followed, kept = ([percent(share, 1) for share in shares] for shares in (following, same))
    costs = "the LR that follows costs {}, {} and {} % of the loss against each schedule's best".format(*followed)
    assert "{}, and the leader's own LR {}, {} and {} %".format(costs, *kept) in prose(STUDIES)
