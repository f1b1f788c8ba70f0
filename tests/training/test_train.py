"""The loop: a tiny run through every stage, and one that is stopped half way and goes on to the very same weights."""

import dataclasses
import signal

import lightning
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from elir_edge.core.lock import Inside, hold
from elir_edge.core.progress import Silent
from elir_edge.errors import ConfigError, GateError, LockedError, UsageError
from elir_edge.families.elir.spec import AutoencoderSpec, ElirSpec, EstimatorSpec, FieldSpec
from elir_edge.families.restorer import Restorer
from elir_edge.families.weights import load_restorer
from elir_edge.training import arithmetic
from elir_edge.training.checkpoints import steps_done
from elir_edge.training.initial import new_restorer
from elir_edge.training.objective import Objective
from elir_edge.training.recipe import DataRecipe, Recipe, Stage
from elir_edge.training.train import collapsed_weights, train
from elir_edge.training.trainer import RunOptions
from tests.helpers import refusal, save_picture

SPEC = ElirSpec(
    name="tiny",
    size=32,
    steps=2,
    autoencoder=AutoencoderSpec(latent_channels=4, width=8, levels=1, blocks=1),
    estimator=EstimatorSpec(hidden=4, blocks=1),
    field=FieldSpec(hidden=32, multipliers=(1, 2), mid_blocks=1, time_features=8),
)
AUTOENCODER = Stage("autoencoder", "autoencoder", steps=3, batch=2, crop=16, warm_up=1, latent_noise=0.1)
FLOW = Stage("flow", steps=4, batch=2, crop=16, warm_up=1, objective=Objective(beta=0.1))
FINETUNE = Stage(
    "finetune", steps=2, batch=2, crop=16, warm_up=1, train_decoder=True,
    objective=Objective(latent=0.1, every=2, coarse=0.5, path=1.0),
)  # fmt: skip


class StopAt(lightning.Callback):
    """Ends a run as a kill right after a save would."""

    def __init__(self, stage: str, step: int) -> None:
        self.stage, self.step = stage, step

    def on_train_batch_end(self, trainer, module, *_):
        if module.stage.name == self.stage and trainer.global_step == self.step:
            raise ConfigError("stopped here")


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC.to_yaml())
    rng = np.random.default_rng(0)
    store = rng.integers(0, 255, (6, 24, 24, 3), dtype=np.uint8)
    for folder in ("run", "other"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "tiles.npy", store)
    data = DataRecipe(tiles=6, side=24)
    return Recipe(str(path), "restoration", 3, data, (AUTOENCODER, FLOW, FINETUNE))


def options(folder, **changes):
    plain = RunOptions(folder, precision="32-true", accelerator="cpu", devices=1, progress=False, save_minutes=0.0)
    return dataclasses.replace(plain, **changes)


def test_a_run_goes_through_its_stages_and_gives_weights_that_load(recipe, tmp_path):
    weights = train(recipe, options(tmp_path / "run"))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"autoencoder.safetensors", "flow.safetensors", "finetune.safetensors", "weights.safetensors"} <= names
    tensors = load_file(weights)
    assert tensors.keys() == Restorer(SPEC).state_dict().keys()
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    restorer = load_restorer(SPEC, weights)
    assert restorer(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    assert (tmp_path / "run" / "flow" / "logs" / "version_0" / "metrics.csv").is_file()


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(recipe, tmp_path):
    whole = load_file(train(recipe, options(tmp_path / "run")))
    with pytest.raises(ConfigError, match="stopped here"):
        train(recipe, options(tmp_path / "other", callbacks=(StopAt("flow", 3),)))
    assert steps_done(tmp_path / "other" / "flow" / "last.ckpt") in (2, 3)
    assert not (tmp_path / "other" / "flow.safetensors").exists()
    resumed = load_file(train(recipe, options(tmp_path / "other")))
    assert len(list((tmp_path / "other" / "flow" / "logs").iterdir())) == 2
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


class InterruptAt(lightning.Callback):
    """Ctrl-C in a step of a stage."""

    def on_train_batch_end(self, trainer, module, *_):
        raise KeyboardInterrupt


def test_ctrl_c_is_told_as_such_and_heeded_again_afterwards(recipe, tmp_path):
    """Lightning ends the program with status 1 and without a word."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, options(tmp_path / "run", callbacks=(InterruptAt(),)))
    assert signal.getsignal(signal.SIGINT) is before


def test_training_checkpoints_are_of_the_published_kind(recipe, tmp_path):
    train(recipe, options(tmp_path / "run"))
    restorer = load_restorer(SPEC, tmp_path / "run" / "finetune" / "last.ckpt")
    expected = load_file(tmp_path / "run" / "weights.safetensors")
    for name, value in restorer.state_dict().items():
        assert torch.allclose(value, expected[name].float(), atol=2e-3), name


def test_a_folder_with_another_run_is_not_gone_on_with(recipe, tmp_path):
    """Other data where tiles were drawn, other stages where they were begun; what has not begun may change."""
    train(dataclasses.replace(recipe, stages=(AUTOENCODER,)), options(tmp_path / "run"))
    longer = dataclasses.replace(AUTOENCODER, steps=4)
    for changed, said in (
        (dataclasses.replace(recipe, seed=4), "seed"),
        (dataclasses.replace(recipe, data=DataRecipe(tiles=6, side=24, procedural=0.1)), "data"),
        (dataclasses.replace(recipe, stages=(longer, FLOW)), "stage autoencoder"),
        (dataclasses.replace(recipe, task="denoising"), "task"),
    ):
        refusal(UsageError, lambda changed=changed: train(changed, options(tmp_path / "run")), said, "-o")
    train(dataclasses.replace(recipe, stages=(AUTOENCODER, FLOW)), options(tmp_path / "run"))


def test_photographs_of_another_folder_are_noticed(recipe, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_picture(tmp_path / name / f"{name}.png", 40, 40)
    ours, theirs = (
        dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, folder=str(tmp_path / name))) for name in "ab"
    )
    first = (AUTOENCODER,)
    train(dataclasses.replace(ours, stages=first), options(tmp_path / "run"))
    refusal(UsageError, lambda: train(theirs, options(tmp_path / "run")), "pictures")
    train(
        dataclasses.replace(recipe, stages=first, data=DataRecipe(6, 24, packaged=True, folder=str(tmp_path / "no"))),
        options(tmp_path / "run"),
    )  # which are not at hand now, and stay those of the tiles
    refusal(UsageError, lambda: train(theirs, options(tmp_path / "run")), "pictures")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages": (AUTOENCODER, FLOW, FINETUNE)[1:]}, "autoencoder stage before"),
        ({"estimator_from": "nano"}, "no stacked estimator"),
        ({"preset": "nano", "stages": (AUTOENCODER,)}, "has no weights"),
    ],
)
def test_what_a_model_cannot_be_trained_by_is_told_before_anything_is_drawn(changes, said, recipe, tmp_path):
    with pytest.raises(ConfigError, match=said):
        train(dataclasses.replace(recipe, **changes), options(tmp_path / "new"))
    assert not any((tmp_path / "new").iterdir())


def test_two_runs_do_not_train_in_one_folder(recipe, tmp_path):
    """One published the weights of the other."""
    with hold(Inside(tmp_path / "run")):
        refusal(LockedError, lambda: train(recipe, options(tmp_path / "run")), f"{tmp_path / 'run'}: another run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["tiles.npy"]


def test_pictures_that_only_restore_reads_are_told(recipe, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(Silent, "note", lambda self, text: told.append(text))
    (tmp_path / "photographs").mkdir()
    save_picture(tmp_path / "photographs" / "a.png", 40, 40)
    (tmp_path / "photographs" / "b.heic").write_text("of a phone")
    data = DataRecipe(tiles=2, side=24, procedural=0.0, packaged=False, folder=str(tmp_path / "photographs"))
    train(dataclasses.replace(recipe, data=data, stages=(AUTOENCODER,)), options(tmp_path / "new"))
    assert told[0].startswith("left out: 1 pictures of formats that only restore reads")


@pytest.mark.parametrize("changes", [{"devices": "foo"}, {"save_minutes": float("nan")}])
def test_options_are_refused_before_anything_is_drawn(changes, recipe, tmp_path):
    with pytest.raises(UsageError):
        train(recipe, options(tmp_path / "new", **changes))
    assert not (tmp_path / "new").exists()


class Spoil(lightning.Callback):
    """A step after which a weight is NaN."""

    @torch.no_grad()
    def on_train_batch_end(self, trainer, module, *_):
        next(module.trained_parts()[0].parameters()).fill_(float("nan"))


def test_a_run_that_diverges_stops_and_saves_nothing_of_it(recipe, tmp_path):
    spoilt = options(tmp_path / "run", callbacks=(Spoil(),), save_minutes=100.0)
    refusal(GateError, lambda: train(recipe, spoilt), "autoencoder: diverged", "rate")
    assert not list((tmp_path / "run").rglob("*.ckpt"))
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_weights_beyond_float16_are_not_published():
    restorer = new_restorer(SPEC, 0)
    with torch.no_grad():
        restorer.dec.get_parameter(next(name for name, _ in restorer.dec.named_parameters())).fill_(1e6)
    refusal(GateError, lambda: collapsed_weights(restorer), "65504", "dec.")


def test_the_published_form_is_the_same_function():
    restorer = new_restorer(SPEC, 0).eval()
    plain = Restorer(SPEC).eval()
    plain.load_state_dict({name: value.float() for name, value in collapsed_weights(restorer).items()})
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (plain.trajectory(image).unclipped_image - restorer.trajectory(image).unclipped_image).abs().max() < 5e-3


def test_first_weights_let_the_signal_through():
    autoencoder = AutoencoderSpec(latent_channels=8, width=16, levels=2, blocks=2)
    encoder = new_restorer(dataclasses.replace(SPEC, autoencoder=autoencoder), 0).enc
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert encoder(image).std() > 0.1 * image.std()


@pytest.mark.parametrize("instructions, chosen", [(["avx2"], "32-true"), (["avx2", "avx512_bf16"], "bf16-mixed")])
def test_bf16_is_for_processors_that_multiply_it(instructions, chosen, monkeypatch):
    monkeypatch.setattr(arithmetic, "vector_instructions", lambda: instructions)
    assert arithmetic.choose_precision("auto", "cpu") == chosen
    assert arithmetic.choose_precision("auto", "gpu") == "bf16-mixed"
    assert arithmetic.choose_precision("16-mixed", "cpu") == "16-mixed"
    assert arithmetic.choose_precision("32", "cpu") == "32-true"


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true", "half"])
def test_weights_are_trained_in_float32(precision, recipe, tmp_path):
    """Before anything is done: averages in another type, and noise in float32, do not go with such weights."""
    unknown = options(tmp_path / "new", precision=precision)
    refusal(UsageError, lambda: train(recipe, unknown), precision, "bf16-mixed")
    assert not (tmp_path / "new").exists()
