"""Ordinary training scripts that have never heard of us: the same bit by bit when observed, and a complete run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promises.both_ways import Script, assert_same, bare, faults, in_block, observed, steps
from tracker.rundir import RunDir

SCRIPTS = [
    Script(("mnist_cnn.py", "--epochs", "2", "--save-model"), steps=38, is_sample=True),
    Script(("word_language_model.py", "--tied", "--epochs", "2")),
    Script(("word_language_model.py", "--model", "GRU", "--clip", "1")),
    Script(("vae.py", "--epochs", "3"), steps=33),
    Script(("dcgan.py",), steps=20, is_sample=True),
    Script(("reinforce.py",), steps=25),
    Script(("dqn.py",)),
    Script(("regression.py",)),
    Script(("bare_tensors.py",), is_sample=True),
    Script(("super_resolution.py", "--upscale_factor", "2"), steps=8),
    Script(("siamese.py",), steps=34),
    Script(("time_sequence_prediction.py", "--steps", "5"), steps=5),
    Script(("gcn.py",)),
    Script(("vision_transformer.py",), steps=40),
    Script(("char_gpt.py", "--max_iters=9"), steps=10),
    Script(("char_gpt.py", "--max_iters=5", "--dtype='float32'", "--grad_clip=0.0"), steps=6),
    Script(("min_gpt_trainer.py",), steps=40),
    Script(("style_transfer.py",)),
    Script(("optimizers.py",)),
    Script(("schedulers.py",)),
    Script(("amp_scaler.py",)),
    Script(("amp_scaler.py", "--fp16", "--accum", "4")),
    Script(("compiled.py",)),
    Script(("scripted.py",), steps=18),
    Script(("fx_transform.py",), steps=12),
    Script(("maml.py",), steps=20),
    Script(("wgan_gp.py",)),
    Script(("distillation.py",), steps=80),
    Script(("ema_swa.py",), steps=48),
    Script(("checkpointed.py",)),
    Script(("per_sample_grads.py",), steps=10),
    Script(("workers.py",)),
    Script(("samplers.py",)),
    Script(("resume.py",), unlike=("whole.pkl",)),  # pickled storages are named by their address
    Script(("finetune.py",)),
    Script(("multitask.py",), steps=34),
    Script(("contrastive.py",)),
    Script(("diffusion.py",), steps=30),
    Script(("autoencoder_class.py",)),
    Script(("tensorboard_writer.py",), steps=16, unlike=("*tfevents*",)),
    Script(("own_hooks.py",)),
    Script(("custom_function.py",), steps=24),
    Script(("parametrized.py",)),
    Script(("freed.py",), is_sample=True),
    Script(("exit_code.py",), code=3, status="FAILED"),
    Script(("raises_in_backward.py",), code=1, status="FAILED", steps=4, is_sample=True),
    Script(("raises_in_data.py",), code=1, status="FAILED"),
    Script(("interrupted.py",), code=-2, status="KILLED"),
    Script(("os_exit.py",), code=5, status="FAILED"),
    Script(("strict_warnings.py",)),
    Script(("changes_its_world.py", "a", "--b")),
    Script(("threads_train.py",)),
    Script(("pool_search.py", "fork"), runs=-1),
    Script(("pool_search.py", "spawn"), runs=-1),
    Script(("tensor_modes.py",)),
    Script(("data_parallel.py",), steps=15),
    Script(("seq2seq_masks.py",)),
    Script(("kfold.py",)),
    Script(("diverges.py",), code=1, status="FAILED"),
    Script(("speech_ctc.py",), steps=20),
    Script(("unet_dice.py",), steps=15),
    Script(("pinn.py",)),
    Script(("flow.py",), steps=55),
    Script(("ddp_spawn.py", "2")),
    Script(("--", "torchrun", "--nproc-per-node", "2", "ddp_torchrun.py"), steps=12),
    Script(("own_tracker/train.py",), steps=10, is_sample=True),
    Script(("own_site/train.py",), steps=10, environment={"PYTHONPATH": "own_site"}),
    Script(("-m", "package.train", "--lr", "0.02"), steps=25),
]


def parameters(scripts: list[Script]) -> list[object]:
    """Each script as a test; those that are no sample are slow ones."""
    return [
        pytest.param(script, id=script.name, marks=() if script.is_sample else pytest.mark.slow) for script in scripts
    ]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for all: a new one is slow to make."""
    from mlflow import MlflowClient

    place = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{place / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)  # where a store is made is where it keeps its files: not beside a script
        MlflowClient(uri).get_experiment("0")
    return uri


@pytest.fixture
def folder(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside of any repository; runs go to the store of all."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    return tmp_path


def assert_complete(script: Script, store: str) -> None:
    """The runs of a script are whole in MLflow, and no part of ours failed."""
    from mlflow import MlflowClient

    runs = RunDir.all()
    if script.runs >= 0:
        assert len(runs) == script.runs
    client = MlflowClient(store)
    for run in runs:
        assert faults(run) == []
        assert run.state.get("finished") is True, run.state
        stored = client.get_run(run.state["mlflow_run_id"])
        assert stored.data.tags["tracker.id"] == run.path.name
        assert stored.data.tags["suspicious"] in ("true", "false", "unknown")
        assert stored.data.tags["reproducible"] in ("true", "false", "unknown")
        assert bool(stored.data.params) or not script.has_params
        assert "findings.json" in {one.path for one in client.list_artifacts(stored.info.run_id)}
        if script.runs >= 0:  # workers of a pool are ended by a signal, in the middle of nothing
            assert stored.info.status == script.status
        if script.status != "KILLED" and script.steps is not None:
            assert steps(run) == script.steps
    if script.steps is None and runs:
        assert max(map(steps, runs)) > 0 or script.code == 5


@pytest.mark.parametrize("script", parameters(SCRIPTS))
def test_a_script_under_tracker_run_is_as_without_us_and_its_run_is_complete(script, folder, store):
    without, with_us = bare(script, folder), observed(script, folder)

    assert without.code == script.code, without.err.decode()
    assert_same(without, with_us)
    assert_complete(script, store)


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(script, id=script.name)
        for script in SCRIPTS
        if script.words[0].endswith(".py") and "/" not in script.words[0] and script.code == 0
    ],
)
def test_a_script_in_a_tracked_block_is_as_without_us(script, folder, store):
    without, with_us = in_block(script, folder, False), in_block(script, folder, True)

    assert without.code == script.code, without.err.decode()
    assert_same(without, with_us)
    if script.words[0] != "ddp_spawn.py":  # a block in the parent does not see what its ranks train
        assert_complete(script, store)
