"""Checks of the options of Lightning's trainer."""

from typing import Annotated

from omegaconf import DictConfig
from pydantic import Field
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

from rgi.app.jobs import launch, sweep
from rgi.errors import InputError
from rgi.validation import Allowed, AsTuple, Count, Index, check, one_of

REFUSED = {  # switches of Lightning that the tasks do not support, and what to do instead
    "fast_dev_run": "for a short trial, set dataset.test_images and solver.iterations, or steps",
    "overfit_batches": "for a short trial, set dataset.test_images and solver.iterations, or steps",
    "limit_test_batches": "set dataset.test_images, or name a folder with fewer images",
    "limit_predict_batches": "set dataset.test_images, or name a folder with fewer images",
    "limit_train_batches": "set steps",
    "limit_val_batches": "set judge.images",
    "val_check_interval": "set judge.every",
    "check_val_every_n_epoch": "set judge.every",
    "num_sanity_val_steps": "a training has no validation loop; set judge.every",
    "max_steps": "set steps",
    "min_steps": "set steps",
    "max_epochs": "set steps",
    "min_epochs": "set steps",
    "max_time": "set steps; a stopped training continues with the same command",
    "gradient_clip_val": "set a smaller generator.training.lr",
    "gradient_clip_algorithm": "set a smaller generator.training.lr",
    "accumulate_grad_batches": "set batch_size",
    "reload_dataloaders_every_n_epochs": "the order of the images depends on seed alone",
    "logger": "use logger=csv, wandb or null",
    "callbacks": "write a script with the classes of rgi.training",
    "plugins": "write a script with the classes of rgi.training",
    "default_root_dir": "set output_dir",
    "inference_mode": "the solver needs gradients",
    "enable_progress_bar": "the program has its own progress bar",
    "enable_checkpointing": "set checkpoint_every",
    "barebones": "remove it",
}

OPTIONS = {  # options of Lightning whose own error messages do not name them
    "accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "devices": Annotated[
        Count
        | one_of(-1, "auto")
        | Annotated[str, Field(pattern=r"^\d+(, *\d+)*$")]
        | Annotated[tuple[Index, ...], AsTuple],
        Allowed("a number of processes, a list of GPUs such as [0,2], or auto"),
    ],
}


def check_trainer(cfg: DictConfig) -> None:
    """Check the options of the trainer, and set ``trainer.devices=auto`` to the processes of torchrun or srun.

    Raises:
        InputError: an option is not supported, or another number of processes was started.
    """
    trainer = cfg.get("trainer")
    if trainer is None:
        return
    for option, remedy in REFUSED.items():
        if option in trainer:
            raise InputError(f"trainer.{option}: is not supported; {remedy}")
    for option, annotation in OPTIONS.items():
        if option in trainer:
            check(f"trainer.{option}", trainer[option], annotation)
    kinds = {"gpu": (CUDAAccelerator, MPSAccelerator), "cuda": (CUDAAccelerator,), "mps": (MPSAccelerator,)}
    wanted = kinds.get(trainer.get("accelerator"))
    if wanted and not any(kind.is_available() for kind in wanted):
        raise InputError(f"trainer.accelerator={trainer.accelerator}: PyTorch finds none; use cpu or auto")
    if launch.launcher() is not None:
        _join_launcher(trainer)
    elif sweep.worker() is not None and trainer.devices != 1:  # Lightning would start the launcher's program again
        raise InputError(
            f"trainer.devices={trainer.devices}: a job of launcher={sweep.worker()} is one process; remove trainer=ddp"
        )


def _join_launcher(trainer: DictConfig) -> None:
    world, local = launch.processes()
    if trainer.devices == "auto":
        trainer.devices = local
    nodes = trainer.get("num_nodes", 1)
    if trainer.devices != local or nodes * local != world:
        raise InputError(
            f"trainer.devices={trainer.devices}: {launch.launcher()} has started {local} processes on this machine and "
            f"{world} in all; add trainer=ddp trainer.devices={local} +trainer.num_nodes={world // local}"
        )
