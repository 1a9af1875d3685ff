"""The pages of the site that are made from the code whenever it is built: schedules, settings, commands, Python names.

MkDocs calls `on_files`. What each page says comes from where it is decided: the comments of `conf/*.yaml`, the
docstrings of `lrlab.schedules`, the table in `docs/schedules.md`, the commands' own help.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))  # MkDocs loads a hook by its path

import commands_page
import names_page
import schedule_pages
import settings_page

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the generated pages and pictures to those that lie in `docs/`."""
    from mkdocs.structure.files import File

    pages: dict[str, str | bytes] = {
        **schedule_pages.pages(),
        **settings_page.pages(),
        **commands_page.pages(),
        **names_page.pages(),
        **schedule_pages.pictures(),
    }
    for place, content in pages.items():
        files.append(File.generated(config, place, content=content))
    return files
