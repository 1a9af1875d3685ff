"""Run benchmarks by name, all of them without one: `python -m benchmarks [NAME ...] [--quick] [--repeats N] ...`.

`python -m benchmarks docs` writes the tables of docs/*.md from the JSON files.
"""

import importlib
import subprocess
import sys

from benchmarks.timing import ROOT

NAMES = (
    "training",
    "language",
    "tracking",
    "startup",
    "threads",
    "preview",
    "sweep",
    "stacking",
    "beginnings",
    "scale",
    "images",
    "precision",
    "scaling",
    "watching",
    "gpu",
    "faults",
    "sweep_kills",
    "seal",
    "saving",
    "led_studies",
    "honesty",
    "bank",
    "averages",
    "forecast",
    "advice",
    "defaults",
    "lesson",
    "recipes",
)


def main() -> None:
    typed = sys.argv[1:]
    count = next((index for index, text in enumerate(typed) if text.startswith("-")), len(typed))
    names, options = typed[:count], typed[count:]
    if unknown := [name for name in names if name not in (*NAMES, "docs")]:
        sys.exit(f"benchmarks: got '{unknown[0]}'; allowed: {', '.join(NAMES)}, docs; do: python -m benchmarks --help")
    if not names and options and options[0] in ("-h", "--help"):
        print(f"{__doc__}\nNames: {', '.join(NAMES)}. `python -m benchmarks NAME --help` has the options of each.")
    elif len(names) == 1:
        importlib.import_module(f"benchmarks.{names[0]}").main(options)
    else:  # each in a process of its own, so that none finds what another left behind
        codes = [
            subprocess.run([sys.executable, "-m", "benchmarks", name, *options], cwd=ROOT, check=False).returncode
            for name in names or NAMES
        ]
        sys.exit(max(codes))


if __name__ == "__main__":
    main()
