"""Settings, controls, profiles and identity of experiments."""

import dataclasses

import pytest

from workbench import experiments
from workbench.experiments.base import controls
from workbench.experiments.self_distilled_pruning import METHODS, SelfDistilledPruning


def test_every_setting_has_help_and_a_control():
    for cls in experiments.EXPERIMENTS.values():
        for control in controls(cls):
            assert control.help.endswith((".", ")")), control.name
            assert control.check(control.default) == control.default


@pytest.mark.parametrize("name", experiments.names())
@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_every_profile_is_a_valid_experiment(name, profile):
    experiment = experiments.get(name).profile(profile)
    assert type(experiment)(**{**experiment.config()}) == experiment


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_named_by_their_settings(method):
    assert SelfDistilledPruning.of_method(method, "smoke").method == method
    assert SelfDistilledPruning.of_method(method, "smoke").labels() == {"method": method}


def test_values_are_checked_with_the_way_out():
    with pytest.raises(ValueError, match="loss = 'ccc' is not one of none, kld, cos, cc. Did you"):
        SelfDistilledPruning(loss="ccc")
    with pytest.raises(ValueError, match="alpha = 1.5 is out of range: 0 to 1"):
        SelfDistilledPruning(alpha=1.5)
    with pytest.raises(ValueError, match="alpha = nan must be a finite float"):
        SelfDistilledPruning(alpha=float("nan"))
    with pytest.raises(ValueError, match="seed = True must be a finite int"):
        SelfDistilledPruning(seed=True)
    with pytest.raises(ValueError, match="final_density = 0 is out of range"):
        SelfDistilledPruning(final_density=0)
    with pytest.raises(ValueError, match="No experiment 'self-distiled-pruning'.*Did you mean"):
        experiments.get("self-distiled-pruning")
    with pytest.raises(ValueError, match="no setting 'los'. Did you mean 'loss'"):
        SelfDistilledPruning.profile("smoke", los="cc")
    with pytest.raises(ValueError, match="no profile 'tiny'; it has smoke, laptop"):
        SelfDistilledPruning.profile("tiny")


def test_identity_keeps_what_matters_and_drops_what_does_not(monkeypatch):
    monkeypatch.setattr(SelfDistilledPruning, "data", lambda self: {"task": "a"})
    monkeypatch.setattr(experiments.get("fine-tuning"), "data", lambda self: {"task": "a"})

    def same(a, b):
        return a.identity() == b.identity()

    plain = SelfDistilledPruning(loss="none")
    assert same(plain, dataclasses.replace(plain, alpha=0.9, tau=2.0, beta=1.0))
    assert same(plain, dataclasses.replace(plain, device="cpu", checkpoint_every=10))
    assert not same(plain, dataclasses.replace(plain, seed=1))
    assert not same(plain, dataclasses.replace(plain, loss="kld"))
    cc = SelfDistilledPruning(loss="cc")
    assert not same(cc, dataclasses.replace(cc, beta=1e-4))
    assert same(cc, dataclasses.replace(cc, beta_cos=0.2))
    unpruned = SelfDistilledPruning(criterion="none", loss="none")
    assert same(unpruned, dataclasses.replace(unpruned, final_density=0.5, scope="global"))


def test_all_methods_of_one_seed_share_their_teacher(monkeypatch):
    teachers = {
        method: SelfDistilledPruning.of_method(method, "smoke", seed=3).requirements()["teacher"]
        for method in METHODS
    }
    assert len(set(teachers.values())) == 1


def test_integers_from_text_controls_are_refused_and_whole_floats_taken():
    by_name = {c.name: c for c in controls(SelfDistilledPruning)}
    assert by_name["updates"].check(4.0) == 4 and isinstance(by_name["updates"].check(4.0), int)
    with pytest.raises(ValueError, match="updates = '4'"):
        by_name["updates"].check("4")
    with pytest.raises(ValueError, match="updates = 4.5"):
        by_name["updates"].check(4.5)
