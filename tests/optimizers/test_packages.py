"""Optimizers of other packages are made with our settings; without its package, a line says what to install."""

import inspect
import math
import sys

import pytest
import torch
from support import composed

from lrlab import optimizers
from lrlab.config.catalogue import option
from lrlab.config.prepare import plan_only
from lrlab.errors import UserError

SMALL = ("data=digits", "model=linear", "trainer.epochs=2", "data.batch_size=720")
PACKAGES = {"schedule_free": ("schedulefree", "AdamWScheduleFree"), "prodigy": ("prodigyopt", "Prodigy")}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_a_line_that_says_what_to_install(name, monkeypatch):
    package = PACKAGES[name][0]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as refused:
        plan_only(composed(*SMALL, f"optimizer={name}"))
    assert str(refused.value) == (
        f"optimizer: got {name}, whose package {package} is not installed here; "
        f"allowed: an optimizer whose package is; do: pip install {package}"
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_the_defaults_are_the_packages_and_every_setting_reaches_it(name, capsys):
    package = pytest.importorskip(PACKAGES[name][0], reason=f"{PACKAGES[name][0]} is not installed")
    make = getattr(optimizers, name)
    own = inspect.signature(make).parameters
    theirs = inspect.signature(getattr(package, PACKAGES[name][1]).__init__).parameters
    unlimited = {"growth_rate": math.inf}
    for setting, parameter in list(own.items())[1:]:
        default = unlimited.get(setting, parameter.default)
        assert theirs[setting].default == default, setting
    left_out = {"self", "params", "foreach", "fsdp_in_use"}
    assert theirs.keys() - left_out == own.keys() - {"params"}
    weight = torch.zeros(2, requires_grad=True)
    changed = {setting: _another(parameter.default) for setting, parameter in list(own.items())[1:]}
    group = make([weight], **changed).param_groups[0]
    assert {setting: group[setting] for setting in changed} == changed
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["Lion", "Muon", "prodigy", "schedule_free"])
def test_an_option_has_the_defaults_of_what_it_makes(name):
    node = option("optimizer", name.lower())
    for setting, parameter in list(inspect.signature(getattr(optimizers, name)).parameters.items())[1:]:
        default = parameter.default
        assert node[setting] == (list(default) if isinstance(default, tuple) else default), setting


def _another(default):
    if isinstance(default, bool):
        return not default
    if isinstance(default, tuple):
        return (0.5, 0.6)
    return 3 if isinstance(default, int) else 0.7
