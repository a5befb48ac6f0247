"""Plans of trainings: what ``dry_run=true`` prints for the tasks ``pretrain`` and ``encode``."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from rgi.app.dry_run import measure, plan
from rgi.app.options import make
from rgi.data.protocol import ImageSet
from rgi.evaluation.clean_residuals import CALIBRATION_IMAGES, inverted_images
from rgi.generators.store import GAN, Card
from rgi.training.adversarial import AdversarialTraining
from rgi.training.encoder import EncoderTraining
from rgi.training.judging import CONTRASTS, PLAIN_INVERSION
from rgi.training.loader import TrainingData

FILES = ("samples/", "checkpoints/", "training.csv")  # in the run folder of a training
Training = tuple[AdversarialTraining, EncoderTraining | None, Card]


def of_pretrain(cfg: DictConfig, images: ImageSet, target: Path, training: Training | None) -> plan.Plan:
    """The plan of a training, or of a fit.

    Args:
        cfg: configuration of the task.
        images: dataset.
        target: file of the generator.
        training: trainings of generator and encoder, and card of the generator; None for a fit. Their networks are used
            up by the measurement.
    """
    clean = images.train()
    if training is None:
        gan, seconds, memory = measure.fit(cfg, clean)
        lines = [("generator", f"{plan.shape(gan.card)}; {plan.parameters(**gan.modules())}")]
        return _judged(cfg, images, target, gan, lines, seconds, memory, judgements=1)
    module, encoder, card = training
    steps = cfg.steps - module.steps_done
    networks = {"generator": module.generator, "critic": module.critic, "encoder": encoder and encoder.encoder}
    step, memory = measure.training(cfg, module, TrainingData(clean, cfg.batch_size, cfg.steps, cfg.seed))
    seconds = step.of(steps)
    lines = [
        ("generator", f"{plan.shape(card)}; {plan.parameters(**networks)}"),
        ("training", f"{steps:,} steps of {cfg.batch_size} images, about {plan.duration(seconds)}"),
    ]
    if encoder is not None:
        of_encoder, used = measure.training(cfg, encoder)
        lines.append(("encoder", f"{encoder.steps:,} steps, about {plan.duration(of_encoder.of(encoder.steps))}"))
        seconds, memory = seconds + of_encoder.of(encoder.steps), max(memory, used)
    judgements = sum(_is_judged(module, done) for done in range(cfg.judge.every, steps + 1, cfg.judge.every))
    return _judged(cfg, images, target, module.gan(card), lines, seconds, memory, judgements)


def of_encode(cfg: DictConfig, training: EncoderTraining, target: Path) -> plan.Plan:
    """The plan of the training of an encoder alone.

    Args:
        cfg: configuration of the task.
        training: training, whose network is used up by the measurement.
        target: file of the generator.
    """
    step, memory = measure.training(cfg, training)
    networks = {"generator": training.gan.generator, "encoder": training.encoder}
    seconds = step.of(training.steps)
    lines = [
        ("task", cfg.task),
        ("generator", f"{plan.shape(training.gan.card)}; {plan.parameters(**networks)}"),
        ("training", f"{training.steps:,} steps of {training.batch_size} samples"),
        *_needs(cfg, seconds, memory),
        ("writes", f"{target}; {plan.run_files(cfg, ('checkpoints/', 'metrics.json'))}"),
    ]
    return plan.Plan(lines, seconds)


def _is_judged(module: AdversarialTraining, done: int) -> bool:
    """Whether the generator makes images in full resolution after so many steps."""
    module.first_step = done - module.global_step
    return module.complete


def _judged(
    cfg: DictConfig,
    images: ImageSet,
    target: Path,
    gan: GAN,
    lines: list[tuple[str, str]],
    seconds: float,
    memory: float,
    judgements: int,
) -> plan.Plan:
    """The plan with the cost of all judgements, of the calibration, and of the painted defects."""
    held_out, device = images.validation(), make(cfg, "trainer", logger=False).strategy.root_device
    few = torch.stack([held_out[i] for i in range(min(len(held_out), measure.IMAGES))]).to(device)
    cost, count = measure.inversion(gan.to(device), PLAIN_INVERSION, few), min(cfg.judge.images, len(held_out))
    seconds += judgements * cost.of(count) + len(CONTRASTS) * count * cost.each
    seconds += inverted_images(min(CALIBRATION_IMAGES, len(held_out))) * cost.each
    own = FILES if cfg.generator.training is not None else ()
    content = [
        ("task", cfg.task),
        ("dataset", plan.dataset(images)),
        ("images", plan.count_images(images, None)),
        *lines,
        ("judgements", f"{judgements}, each of {count} held-out images"),
        *_needs(cfg, seconds, memory),
        ("writes", f"{target}, {target.with_suffix('.json').name}; {plan.run_files(cfg, (*own, 'metrics.json'))}"),
    ]
    return plan.Plan(content, seconds)


def _needs(cfg: DictConfig, seconds: float, memory: float) -> list[tuple[str, str]]:
    trainer = make(cfg, "trainer", logger=False)
    return plan.needs(seconds, memory, trainer.strategy.root_device, trainer.world_size)
