"""What users do to a folder of images between two runs: some of it makes other data, some does not."""

import os
import shutil
from pathlib import Path

from PIL import Image


def rename_a_class(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / "red").rename(root / split / "crimson")


def swap_classes(root: Path) -> None:
    for split in ("train", "val"):
        for one, other in (("red", "kept"), ("blue", "red"), ("kept", "blue")):
            (root / split / one).rename(root / split / other)


def replace_an_image(root: Path) -> None:
    Image.effect_noise((12, 10), 50).save(root / "train" / "red" / "1.png")


def replace_an_image_by_one_of_its_size(root: Path) -> None:
    path = root / "val" / "red" / "1.png"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


def replace_all(root: Path) -> None:
    for path in root.rglob("*.png"):
        Image.effect_noise((12, 10), 50).save(path)


def add_an_image(root: Path) -> None:
    shutil.copy(root / "train" / "red" / "1.png", root / "train" / "red" / "3.png")


def add_one_and_remove_another(root: Path) -> None:
    add_an_image(root)
    (root / "train" / "red" / "0.png").unlink()


def move_an_image_to_another_class(root: Path) -> None:
    (root / "val" / "red" / "2.png").rename(root / "val" / "blue" / "9.png")


def touch(root: Path) -> Path:
    for path in root.rglob("*"):
        os.utime(path, (1, 1))
    return root


def move(root: Path) -> Path:
    return root.rename(root.with_name("moved"))


def copy(root: Path) -> Path:
    """As `git checkout` and `rsync` without `-t` do: with times of now."""
    return Path(shutil.copytree(root, root.with_name("copy"), copy_function=shutil.copyfile))


def link(root: Path) -> Path:
    root.with_name("link").symlink_to(root)
    return root.with_name("link")


def call_val_test(root: Path) -> Path:
    (root / "val").rename(root / "test")
    return root
