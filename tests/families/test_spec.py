"""Specifications: YAML round trips, and every way in which a YAML file can be no specification."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elir_edge.errors import ConfigError, MissingInputError
from elir_edge.families.elir.spec import AutoencoderSpec, ElirSpec, EstimatorSpec, FieldSpec
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, ModuleSpec
from elir_edge.families.spec import ModelSpec, load_spec, preset_names
from tests.helpers import refusal

AUTOENCODERS = st.builds(
    AutoencoderSpec,
    latent_channels=st.integers(1, 256),
    width=st.integers(4, 1024),
    levels=st.integers(1, 5),
    blocks=st.integers(1, 16),
    midblock_pooling=st.booleans(),
)
ESTIMATORS = st.builds(EstimatorSpec, hidden=st.integers(1, 1024), blocks=st.integers(1, 32))
FIELDS = st.builds(
    FieldSpec,
    hidden=st.integers(1, 4).map(lambda groups: 32 * groups),
    multipliers=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    mid_blocks=st.integers(1, 32),
    time_features=st.integers(2, 2048).map(lambda half: 2 * half),
)


@st.composite
def specs(draw) -> ElirSpec:
    field = draw(st.none() | FIELDS)
    autoencoder = draw(AUTOENCODERS)
    multiple = 2**autoencoder.levels * (field.stride if field else 1)
    return ElirSpec(
        name=draw(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,30}", fullmatch=True)),
        task=draw(st.text(max_size=30)),
        size=multiple * draw(st.integers(1, 16384 // multiple)),
        steps=draw(st.integers(1, 100)) if field else 0,
        sigma_s=draw(st.floats(0, 10)),
        autoencoder=autoencoder,
        estimator=draw(st.none() | ESTIMATORS),
        field=field,
        weights=draw(st.none() | st.text(max_size=30)),
    )


@pytest.mark.parametrize("name", preset_names())
def test_presets_survive_yaml(name):
    spec = load_spec(name)
    assert spec.name == name
    assert ModelSpec.from_yaml(spec.to_yaml()) == spec


@settings(deadline=None, max_examples=100)
@given(specs())
def test_specs_survive_yaml(spec):
    assert ModelSpec.from_yaml(spec.to_yaml()) == spec
    assert ModelSpec.from_dict(spec.to_dict()) == spec


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{previous}'] * 9)}]\n"
    for previous, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NO_FIELD = "field: null\n"

BAD_YAML = {
    "an open bracket": ("autoencoder: {width: 8\n", "not usable YAML"),
    "a tab": ("steps:\n\t- 3\n", "not usable YAML"),
    "a control character": ("name: \x00\n", "not usable YAML"),
    "an impossible date": ("task: 2024-13-45\n", "not usable YAML"),
    "a number of 10,000 digits": (f"steps: {'9' * 10_000}\n", "not usable YAML"),
    "deep nesting": ("[" * 60_000, "nested more than"),
    "two documents": ("steps: 3\n---\nsteps: 4\n", "not usable YAML"),
    "a key given twice": ("steps: 3\nsteps: 4\n", "'steps'", "twice"),
    "a list": ("- 1\n- 2\n", "expected a mapping, got list"),
    "nothing": ("", "expected a mapping, got NoneType"),
    "a python object tag": ("!!python/object/apply:os.system ['touch canary']\n", "python/object/apply"),
    "a python name tag": ("name: !!python/name:os.system\n", "python/name"),
    "an alias bomb": (BOMB, "aliases are not allowed"),
    "an unknown key": ("step: 3\n", "unknown key 'step'", "did you mean 'steps'?"),
    "an unknown inner key": ("field: {hiden: 32}\n", "unknown key 'hiden'", "did you mean 'hidden'?"),
    "a key that is no text": ("1: 2\n", "unknown key '1'"),
    "K = 0 with a field": ("steps: 0\n", "steps is 0", "allowed is 1 to 100"),
    "K = -1": ("steps: -1\n", "steps is -1", "allowed is 1 to 100"),
    "K = 10^9": ("steps: 1000000000\n", "steps is 1000000000", "allowed is 1 to 100"),
    "K = 3 without a field": (NO_FIELD + "steps: 3\n", "steps is 3", "set steps to 0"),
    "K as text": ("steps: '3'\n", "steps: expected int, got '3'"),
    "K as a fraction": ("steps: 3.0\n", "steps: expected int, got 3.0"),
    "K as a truth": ("steps: true\n", "steps: expected int, got True"),
    "sigma_s as text": ("sigma_s: a lot\n", "sigma_s: expected float"),
    "sigma_s not a number": ("sigma_s: .nan\n", "sigma_s is nan"),
    "sigma_s infinite": ("sigma_s: .inf\n", "sigma_s is inf"),
    "sigma_s negative": ("sigma_s: -0.1\n", "sigma_s is -0.1"),
    "a mapping for a number": ("size: {a: 1}\n", "size: expected int"),
    "a number for a mapping": ("autoencoder: 3\n", "autoencoder: expected a mapping"),
    "text for a list": ("field: {multipliers: '12'}\n", "multipliers: expected a list"),
    "text in a list": ("field: {multipliers: [1, two]}\n", "multipliers: expected int, got 'two'"),
    "an empty list": ("field: {multipliers: []}\n", "multipliers has 0 entries"),
    "a field too wide to build": (
        "field: {multipliers: [4, 4, 4, 4, 4, 4, 4, 4]}\nsize: 2048\n",
        "multipliers",
        "allowed",
    ),
    "norm groups": ("field: {hidden: 100}\n", "field.hidden is 100", "use 96"),
    "odd time features": ("field: {time_features: 161}\n", "must be even"),
    "a size between multiples": ("size: 250\n", "not a multiple of 32", "nearest allowed is 256"),
    "a size of 0": ("size: 0\n", "nearest allowed is 32"),
    "a negative size": ("size: -64\n", "nearest allowed is 32"),
    "a size of 10^9": ("size: 1000000000\n", "nearest allowed is 16384"),
    "a size of 10^400": (f"size: 1{'0' * 400}\n", "size: a whole number beyond 64 bits"),
    "a size of 10,000 hexadecimal digits": (f"size: 0x{'f' * 10_000}\n", "size: a whole number beyond 64 bits"),
    "sigma_s of 10^400": (f"sigma_s: 1{'0' * 400}\n", "sigma_s: a whole number beyond 64 bits"),
    "a name that is a path": ("name: ../../etc/model\n", "name is '../../etc/model'"),
    "an endless name": (f"name: {'n' * 300}\n", "name is 'nnn"),
    "an empty name": ("name: ''\n", "name is ''"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_no_specification(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, *named = BAD_YAML[case]
    file = tmp_path / "model.yaml"
    file.write_text(text, encoding="utf-8")
    error = refusal(ConfigError, lambda: load_spec(file), *named)
    assert error.exit_code == 78
    assert "model.yaml" in str(error)
    assert len(str(error)) < 2000
    assert not (tmp_path / "canary").exists()


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    (tmp_path / "long.yaml").write_text("#" * 70_000)
    refusal(ConfigError, lambda: load_spec(tmp_path / "latin.yaml"), "latin.yaml", "not UTF-8")
    refusal(ConfigError, lambda: load_spec(tmp_path / "long.yaml"), "long.yaml", "larger than")
    assert refusal(MissingInputError, lambda: load_spec(tmp_path / "no.yaml"), "no.yaml").exit_code == 66
    refusal(ConfigError, lambda: load_spec("nanno"), "'nanno'", "did you mean 'nano'?")


@settings(deadline=None, max_examples=200)
@given(st.integers(-100, 20_000), st.integers(-100, 20_000))
def test_the_nearest_allowed_size_is_allowed(height, width):
    spec = ElirSpec()
    try:
        spec.check_size(height, width)
    except ConfigError as error:
        side = height if str(error).startswith("height") else width
        nearest = int(str(error.hint).split()[-1])
        spec.check_size(nearest, nearest)
        allowed = range(spec.size_multiple, 16385, spec.size_multiple)
        assert abs(nearest - side) == min(abs(one - side) for one in allowed)
    else:
        assert height % spec.size_multiple == width % spec.size_multiple == 0


def test_the_largest_allowed_size_is_a_multiple():
    spec = LatentPmrfSpec(size=24, steps=0, estimator=ModuleSpec(path="a:B", stride=24), field=None)
    error = refusal(ConfigError, lambda: spec.check_size(16384, 24), "16384 is not a multiple of 24")
    assert error.hint == "the nearest allowed is 16368"


def test_specs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_spec("nano").steps = 4  # type: ignore[misc]
