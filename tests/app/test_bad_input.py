"""Bad input on the command line: each mistake ends in one line with the mistake and its remedy."""

import functools
import json
import os
import pickle
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.command_line import in_process
from helpers.tiny_sets import write_folder, write_generator, write_mvtec
from PIL import Image
from safetensors.torch import load_file, save_file

from rgi.errors import InputError
from rgi.generators import store

RUN = Path(__file__).parents[2] / "run.py"
SMALL = "dataset.resolution=32 dataset.channels=1 generator.path=gan.safetensors"
MVTEC = f"experiment=mvtec_rrgi dataset.root=mvtec {SMALL}"
FOLDER = f"experiment=folder_rgi dataset.root=mine/root {SMALL}"
IMAGE = "mvtec/screw/test/scratch/000.png"
MASK = "mvtec/screw/ground_truth/scratch/000_mask.png"
TRAINING = "mvtec/screw/train/good/007.png"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Use one thread, because these networks are too small for two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("material")
    write_mvtec(home / "mvtec")
    write_folder(home / "mine")
    write_generator(home / "gan.safetensors", resolution=32)
    write_generator(home / "large.safetensors", resolution=64)
    write_generator(home / "colour.safetensors", resolution=32, channels=3)
    write_generator(home / "uncalibrated.safetensors", resolution=32, residuals=False)
    return home


@pytest.fixture
def home(material, tmp_path, monkeypatch) -> Path:
    """A working directory with all files that `MVTEC` and `FOLDER` need."""
    shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(home, monkeypatch):
    """Run the program in this process."""

    def run(command: str) -> None:
        monkeypatch.setattr(sys, "argv", [str(RUN), *shlex.split(command)])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the program sets this variable, and the fixture restores it
        runpy.run_path(str(RUN), run_name="__main__")

    return run


@pytest.fixture
def refusal(home, start, capsys):
    """Run a command that must fail. It writes no file and prints one line, which is the result."""

    def run(command: str) -> str:
        before = set(home.rglob("*"))
        with pytest.raises(SystemExit) as exit:
            start(command)
        assert set(home.rglob("*")) == before
        return one_line(exit.value.code, *capsys.readouterr())

    return run


def one_line(status: object, out: str, err: str) -> str:
    assert status == 1
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").strip()


def says(message: str, expected: str) -> bool:
    """Whether a message has all parts of a text in this order. Dots separate the parts."""
    place = 0
    for part in expected.split(" ... "):
        place = message.find(part, place)
        if place < 0:
            return False
    return True


@pytest.mark.parametrize("command", [MVTEC, FOLDER, f"{FOLDER} task=predict"])
def test_commands_without_a_mistake_run(command, home, start):
    start(f"{command} output_dir=run solver.iterations=1 solver.tune_from=0 solver.pool_size=1")
    assert (home / "run/report.html").is_file()


@pytest.mark.parametrize("kind", ["normalised", "combined"])
def test_maps_with_statistics_of_clean_images(kind, home, start):
    """Half of the 18 training images are inverted first. The paper's map gets the same scores as in its own run."""
    quick = "solver.iterations=1 solver.tune_from=0 solver.pool_size=1"
    start(f"{MVTEC} output_dir=judged map.kind={kind} map.sigma=1 {quick}")
    start(f"{MVTEC} output_dir=paper map.kind=null map.sigma=0 {quick}")
    assert len(list((home / "judged/clean/r_rgi").glob("*.npz"))) == 9
    judged, paper = (json.loads((home / run / "metrics.json").read_text())["r_rgi"] for run in ("judged", "paper"))
    assert judged["standard/paper_map_pixel_auroc"] == paper["standard/pixel_auroc"]
    assert judged["standard/pixel_auroc"] != paper["standard/pixel_auroc"]
    assert not any("paper_map" in name for name in paper)
    assert {name: judged[name] for name in judged if "reference/" in name} == {
        name: paper[name] for name in paper if "reference/" in name
    }


OPTIONS = {
    # errors that Hydra reports
    "solver.foo=1": "solver.foo=1: no such option ... python run.py --cfg job",
    "dataset.foo=1": "dataset.foo=1: no such option",
    "foo=1": "foo=1: no such option",
    "seed": "seed: is not option=value",
    "'dataset.category=a(b)'": "dataset.category=a(b): is not option=value ... quotes",
    "experiment=nope": "experiment=nope: no such choice; use one of btad_anogan, ... mvtec_rrgi",
    "dataset=nope": "dataset=nope: no such choice ... magnetic_tile, mvtec_ad, stanford_cars, textures",
    # errors that Hydra does not report
    "+solver.foo=1": "solver.foo: no such option ... mask_penalty",
    "+dataset.foo=1": "dataset.foo: no such option; use one of category, resolution, channels, test_images, seed",
    "corruption=central +corruption.foo=1": "corruption.foo: no such option; use one of fraction, centre, fill, seed",
    "corruption=irregular corruption.fill=paint": "corruption.fill=paint: must be one of noise, constant, image, dark",
    "baseline=pca +baseline.foo=1": "baseline.foo: no such option; use one of components, seed",
    "baseline=pca baseline.components=0": "baseline.components=0: must be a whole number of at least 1",
    "+trainer.foo=1": "trainer: ... 'foo'",
    "trainer.devices=abc": "trainer.devices=abc: must be a number of processes",
    "+trainer.fast_dev_run=true": "trainer.fast_dev_run: is not supported; ... dataset.test_images",
    "+trainer.limit_test_batches=1": "trainer.limit_test_batches: is not supported; set dataset.test_images",
    "+trainer.overfit_batches=1": "trainer.overfit_batches: is not supported",
    "task=pretrain +trainer.limit_train_batches=1": "trainer.limit_train_batches: is not supported; set steps",
    "task=pretrain +trainer.max_time=1": "trainer.max_time: is not supported; set steps",
    "task=pretrain +trainer.gradient_clip_val=1": "trainer.gradient_clip_val: is not supported; ... lr",
    "solver.mask_penalty=-1": "solver.mask_penalty=-1: must be a number above 0, or auto",
    "solver.mask_penalty=abc": "solver.mask_penalty=abc: must be a number above 0, or auto",
    "experiment=demo methods.rgi.mask_penalty=-1": "methods.rgi.mask_penalty=-1: must be",
    "solver.mask_penalty='${nope}'": "'nope' not found ... solver.mask_penalty",
    "solver.latent_start=encoder": "solver.latent_start=encoder ... use pool",
    "batch_size=0": "batch_size=0: must be a whole number of at least 1",
    "batch_size=abc": "batch_size=abc: must be a whole number",
    "batch_size=null": "batch_size=null: must be a whole number",
    "seed=-1": "seed=-1: must be a whole number of at least 0",
    "seed=abc": "seed=abc: must be a whole number",
    "seed=99999999999": "seed=99999999999: must be a whole number of at least 0 and below 2^32",
    "map.kind=foo": "map.kind=foo: must be one of auto, mask, residual, normalised, combined, or null",
    "dataset=folder dataset.root=mine/root dataset.channels=1 map.kind=normalised": "dataset.train ... folder",
    "map.sigma=-1": "map.sigma=-1: must be a number of pixels",
    "map.sigma=abc": "map.sigma=abc: must be a number of pixels",
    "map.false_positive_rate=1": "map.false_positive_rate=1: must be a share of the pixels ... or null",
    "dataset.resolution=abc": "dataset.resolution=abc ... dataset.resolution=64",
    "dataset.channels=2": "dataset.channels=2 ... dataset.channels=1",
    "dataset.test_images=abc": "dataset.test_images=abc: must be a whole number",
    "dataset.category=concrete": "dataset.category=concrete ... brick, grass, gravel",
    "dataset=mvtec_ad dataset.resolution=abc": "dataset.resolution=abc: must be a whole number",
    "dataset=mvtec_ad dataset.resolution=7": "dataset.resolution=7: must be a whole number of at least 16",
    "dataset=mvtec_ad dataset.channels=2": "dataset.channels=2: must be 1 (grey) or 3 (RGB)",
    "dataset=mvtec_ad dataset.download=no": "dataset.download=no: must be true or false",
    "dataset=folder": "dataset.root: not given; add dataset.root=...",
    "generator.path=null": "generator.path: not given",
    "output_dir=mine/root/a.png": "output_dir=mine/root/a.png: cannot be written ... name another",
    "output_dir=mine/root/a.png/run": "output_dir=mine/root/a.png/run: cannot be written",
    # other tasks
    "task=pretrain steps=0": "steps=0: must be a whole number of at least 1",
    "task=pretrain generator.path=gan": "generator.path=gan: must end in .safetensors",
    "task=pretrain generator.path=gan.safetensors": "generator.path=gan.safetensors: exists already",
    "task=pretrain generator.path=mine/root/a.png/x.safetensors": "a.png/x.safetensors: cannot be written",
    "task=pretrain generator.family=foo": "unknown generator family 'foo' ... compact",
    "task=pretrain generator.latent_dim=0": "generator.latent_dim=0: must be a whole number of at least 1",
    "task=pretrain generator.training.lr=0": "generator.training.lr=0: must be a number above 0",
    "task=pretrain +generator.training.foo=1": "generator.training.foo: no such option; use one of r1, augment",
    "task=pretrain generator.encoder.width=0": "generator.encoder.width=0: must be a whole number of at least 1",
    "task=pretrain +generator.encoder.foo=1": "generator.encoder.foo: no such option; use one of gan, steps",
    "task=pretrain generator.training=null": "generator.training=null: is missing; set it",
    "task=pretrain judge.every=0": "judge.every=0: must be a whole number of at least 1",
    "task=pretrain generator=progressive steps=5": "steps=5: too few for 5 scales; use at least 9",
    "task=compare": "methods: not given",
    "task=compare methods={}": "methods={}: has no methods",
    "task=report": "run: not given; add run=...",
    "task=report run=nonexistent": "run=nonexistent: no such folder",
    "task=report run=mine": "run=mine: has no finished results",
    "task=report runs=nonexistent*": "runs=nonexistent*: no such folder; name run folders",
    "task=report runs=[mine]": "runs=mine: has no finished run with test images; name run folders",
    "task=report runs=[]": "runs=[]: has no runs",
    "task=convert": "source: not given; add source=...",
    "task=convert source=nope.pt": "target: not given; add target=...",
    "task=convert source=nope.pt target=x": "nope.pt: no such checkpoint file",
    "task=convert source=mine/root/a.png target=x": "mine/root/a.png: is no checkpoint",
}


@pytest.mark.parametrize("mistake", OPTIONS)
def test_wrong_options_are_refused(mistake, refusal):
    message = refusal(f"generator.path=large.safetensors {mistake}")
    assert says(message, OPTIONS[mistake]), message


def picture(path: str, mode: str = "L", size: tuple[int, int] = (40, 40)):
    return lambda: Image.new(mode, size).save(path)


def truncate(path: str):
    return lambda: Path(path).write_bytes(Path(path).read_bytes()[:-30])


def empty(folder: str):
    return lambda: (shutil.rmtree(folder), Path(folder).mkdir())


def nothing():
    pass


def too_few():
    """Remove 4 of the 20 training images. One of the other 16 is a validation image."""
    for number in range(4):
        os.remove(f"mvtec/screw/train/good/{number:03d}.png")


DATA = {
    "missing root": (nothing, "dataset.root=no/such", "dataset.root=no/such: no such folder ... mvtec.com"),
    "a number for a root": (nothing, "dataset.root=2024", "dataset.root=2024: no such folder"),
    "no root": (nothing, "dataset.root=null", "dataset.root=null: must be a name or a path"),
    "other category": (nothing, "dataset.category=pill", "dataset.category=pill: not in dataset.root=mvtec ... screw"),
    "no category": (nothing, "dataset.category=", "dataset.category=: must be a plain name"),
    "empty category": (empty("mvtec/screw"), "", "mvtec/screw/train/good: no such folder; correct"),
    "no images": (empty("mvtec/screw/train/good"), "", "mvtec/screw/train/good: holds no images"),
    "text": (lambda: Path(IMAGE).write_text("hello"), "", f"{IMAGE}: is not recognised ... replace"),
    "truncated": (truncate(IMAGE), "", f"{IMAGE}: cannot be decoded ... copy it again"),
    "truncated in training": (truncate(TRAINING), "", f"{TRAINING}: cannot be decoded"),
    "image without mask": (lambda: os.remove(MASK), "", f"{IMAGE}: has no mask; add a mask ... clean image is black"),
    "mask without image": (lambda: os.remove(IMAGE), "", f"{MASK}: is a mask without image ... remove the mask"),
    "16 bits": (picture(IMAGE, "I;16"), "", f"{IMAGE}: has more than 8 bits ... save the image as 8-bit"),
    "alpha": (picture(IMAGE, "RGBA"), "", f"{IMAGE}: has an alpha channel ... save the image without"),
    "3 pixels": (picture(IMAGE, size=(3, 1)), "", f"{IMAGE}: has only 3x1 pixels; remove"),
    "mask of another size": (picture(MASK, size=(40, 41)), "", f"{MASK}: has 40x41 pixels ... 40x40"),
    "grey among coloured": (
        picture(TRAINING, "L"),
        "experiment=mvtec_pretrain dataset.channels=3",
        f"{TRAINING}: is grey but mvtec/screw/train/good/ ... is coloured; convert",
    ),
    "too few to train on": (too_few, "experiment=mvtec_pretrain", "15 clean images are too few"),
}


@pytest.mark.parametrize("mistake", DATA)
def test_bad_images_are_refused(mistake, refusal):
    make, options, expected = DATA[mistake]
    make()
    message = refusal(f"{MVTEC} generator.path=gan2.safetensors {options}")
    assert says(message, expected), message


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"{FOLDER} solver.mask=given", "solver.mask=given: ... dataset.masks"),
        (f"{FOLDER} dataset.masks=mine/root/sub", "dataset.masks=mine/root/sub: lies in dataset.root=mine/root"),
        (f"{FOLDER} experiment=folder_pretrain generator.path=new.safetensors", "no clean images ... dataset.train"),
        (f"{FOLDER} task=calibrate", "no clean images ... dataset.train"),
        (
            f"{FOLDER} dataset.root=mine/root/sub trainer=ddp trainer.accelerator=cpu trainer.devices=4",
            "trainer.devices=4: only 3 test images; use at most as many processes",
        ),
    ],
)
def test_bad_options_of_own_images_are_refused(command, expected, refusal):
    message = refusal(command)
    assert says(message, expected), message


def edit_card(**changes):
    card = Path("gan.json")
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


def edit_weights():
    content = bytearray(Path("gan.safetensors").read_bytes())
    content[-1] ^= 1
    Path("gan.safetensors").write_bytes(content)


def spoil_weights():
    tensors = load_file("gan.safetensors")
    tensors["generator.to_image.bias"].fill_(torch.nan)
    save_file(tensors, "gan.safetensors")
    edit_card(sha256=store.sha256(Path("gan.safetensors")))


def write_pickle():
    torch.save({"weights": torch.zeros(1)}, "a b.pt")


def write_noise():
    Path("noise.pt").write_bytes(np.random.default_rng(0).bytes(999))


GENERATORS = {
    "pickle": (write_pickle, "'a b.pt'", "a b.pt: is a pickled checkpoint ... task=convert 'source=a b.pt'"),
    "noise": (write_noise, "noise.pt", "noise.pt: is not a safetensors file ... copy or train it anew"),
    "folder": (nothing, "mine", "generator.path=mine: no such file ... experiment=mvtec_pretrain"),
    "no card": (lambda: os.remove("gan.json"), "gan.safetensors", "gan.json: missing"),
    "weights": (
        edit_weights,
        "gan.safetensors",
        "gan.safetensors: does not match the sha256 in gan.json ... copy both",
    ),
    "sizes": (
        lambda: edit_card(latent_dim=9),
        "gan.safetensors",
        "gan.safetensors: the generator's weights do not fit",
    ),
    "options": (lambda: edit_card(options={"width": -1}), "gan.safetensors", "gan.json: describes no network"),
    "family": (
        lambda: edit_card(family="nope"),
        "gan.safetensors",
        "gan.json: describes no network ... 'nope' ... pca",
    ),
    "residuals": (lambda: edit_card(residuals={"0.99": "a"}), "gan.safetensors", "gan.json: residuals must be numbers"),
    **{
        f"residual scale {scale}": (
            functools.partial(edit_card, residual_scale=scale),
            "gan.safetensors",
            "gan.json: residual_scale must be rows of numbers above 0, all equally long; copy",
        )
        for scale in (1, [1.0], [[1.0, 2.0], [1.0]], [[1.0, 0.0]], [["a"]], [[]])
    },
    **{
        f"defect prior {prior}": (
            functools.partial(edit_card, defect_prior=prior),
            "gan.safetensors",
            "gan.json: defect_prior must be a number above 0; copy or train it anew",
        )
        for prior in (0, -1, "a", [4], float("inf"), float("nan"))
    },
    "NaN": (spoil_weights, "gan.safetensors", "gan.safetensors: the generator's to_image.bias holds NaN"),
    "another size": (nothing, "large.safetensors", "large.safetensors: makes 64 pixels ... dataset.resolution=64"),
    "colours": (nothing, "colour.safetensors", "colour.safetensors: makes 32 pixels and 3 ... dataset.channels=3"),
    "uncalibrated": (nothing, "uncalibrated.safetensors", "solver.mask_penalty=auto: ... task=calibrate"),
}


@pytest.mark.parametrize("mistake", GENERATORS)
def test_bad_generators_are_refused(mistake, refusal):
    make, path, expected = GENERATORS[mistake]
    make()
    message = refusal(f"{MVTEC} generator.path={path}")
    assert says(message, expected), message


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "experiment=textures_rgi dataset.category=grass generator.path=x.safetensors",
            "experiment=textures_pretrain dataset.category=grass generator.path=x.safetensors",
        ),
        (
            """experiment=mvtec_anogan "dataset.root='my (1)'" generator.path=x.safetensors solver.iterations=9""",
            """experiment=mvtec_pretrain "dataset.root='my (1)'" generator.path=x.safetensors""",
        ),
        (
            "experiment=folder_rrgi dataset.root=mine/root generator=pca",
            "experiment=folder_pretrain dataset.root=mine/root generator=pca dataset.train=FOLDER_OF_CLEAN_IMAGES",
        ),
        (
            "experiment=mvtec_rgi dataset.root=mvtec generator=progressive generator.path=x.safetensors",
            "experiment=mvtec_pretrain dataset.root=mvtec generator=progressive generator.path=x.safetensors",
        ),
    ],
)
def test_a_missing_generator_names_the_command_that_trains_it(command, expected, refusal):
    """The command can be pasted into a shell."""
    write_mvtec(Path("my (1)"))
    message = refusal(command)
    assert "no such file" in message
    assert shlex.split(message.partition("python run.py ")[2]) == shlex.split(expected)


def test_a_malicious_checkpoint_is_refused_by_name(refusal):
    class Evil:
        def __reduce__(self):
            return os.mkdir, ("evil",)

    Path("evil.pt").write_bytes(pickle.dumps(Evil(), protocol=2))
    message = refusal("task=convert source=evil.pt target=x.safetensors")
    assert says(message, "evil.pt: is no checkpoint ... mkdir"), message


def test_mistakes_are_reported_one_by_one(refusal):
    """The command has many mistakes. Each error names one mistake, and the test then corrects it."""
    whole = Path(IMAGE).read_bytes()
    truncate(IMAGE)()
    command = f"{MVTEC} batch_size=0 solver.mask_penalty=0 dataset.channels=5 generator.path=none.safetensors"
    command += " dataset.root=nowhere dataset.category=pill"
    for mistake, remedy in (
        ("batch_size=0", "batch_size=1"),
        ("solver.mask_penalty=0", "solver.mask_penalty=1"),
        ("dataset.channels=5", "dataset.channels=1"),
        ("dataset.root=nowhere", "dataset.root=mvtec"),
        ("dataset.category=pill", "dataset.category=screw"),
    ):
        assert refusal(command).startswith(f"{mistake}: ")
        command += f" {remedy}"
    assert refusal(command).startswith(f"{IMAGE}: ")
    Path(IMAGE).write_bytes(whole)
    assert refusal(command).startswith("generator.path=none.safetensors: ")


def test_a_late_mistake_in_a_process_of_its_own(home):
    """Every library has had the time to print something, and nothing but the one line is printed."""
    command = [sys.executable, RUN, *shlex.split(f"{FOLDER} solver.mask=given")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    stderr = "".join(line for line in ended.stderr.splitlines(True) if "terms of its training data" not in line)
    assert one_line(ended.returncode, ended.stdout, stderr).startswith("solver.mask=given: ")
    assert not (home / "outputs").exists()


def test_debug_prints_the_traceback(home, monkeypatch):
    with pytest.raises(InputError, match=r"^dataset\.root=data/mvtec_ad: no such folder"):
        in_process(monkeypatch, "experiment=mvtec_rrgi", "debug=true")


def test_a_file_called_outputs_is_named(home, refusal):
    (home / "outputs").touch()
    assert refusal(FOLDER).startswith("output_dir=outputs: cannot be written")
