"""The result format: what is written is read back, and damaged files are refused with a remedy."""

import zipfile
from contextlib import suppress

import numpy as np
import pytest

from rgi.errors import InputError
from rgi.evaluation.results import image_rows, load_result, result_path, save_result, stored_fingerprint

RESULT = {
    "map": np.arange(4, dtype=np.float32).reshape(2, 2),
    "category": np.str_("screw"),
    "score": np.float32(0.1),
    "iterations": np.int64(7),
    "seconds": np.float64(0.25),
    "pixel_auroc": np.float64(np.nan),
}


@pytest.mark.parametrize("name", ["000", "scratch/000", "a.b/c d"])
def test_a_result_is_read_back(name, tmp_path):
    save_result(tmp_path, name, RESULT)
    loaded = load_result(tmp_path, name)
    assert loaded.keys() == RESULT.keys()
    for key, value in RESULT.items():
        assert loaded[key].dtype == value.dtype
        np.testing.assert_array_equal(loaded[key], value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [result_path(tmp_path, name)]


def test_only_the_named_arrays_are_read(tmp_path):
    save_result(tmp_path, "000", RESULT)
    assert load_result(tmp_path, "000", ("map",), ("score", "psnr")).keys() == {"map", "score"}
    assert load_result(tmp_path, "000", ("map",)).keys() == RESULT.keys()


def test_rows_hold_the_numbers_of_each_image(tmp_path):
    for name in ("scratch/001", "002"):
        save_result(tmp_path, name, RESULT)
    first, second = image_rows(tmp_path, ["scratch/001", "002"], "rgi")
    assert list(first) == ["method", "name", "kind", "category", "score", "iterations", "seconds", "pixel_auroc"]
    assert (first["method"], first["name"], first["kind"], first["category"]) == (
        "rgi",
        "scratch/001",
        "scratch",
        "screw",
    )
    assert (second["name"], second["kind"]) == ("002", "")
    assert (first["score"], first["iterations"], first["seconds"]) == (pytest.approx(0.1), 7, 0.25)
    assert type(first["iterations"]) is int
    assert np.isnan(first["pixel_auroc"])


def test_a_failed_write_leaves_the_file_of_before(tmp_path, monkeypatch):
    save_result(tmp_path, "000", RESULT)
    before = result_path(tmp_path, "000").read_bytes()

    def fail(stream, **arrays):
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        save_result(tmp_path, "000", RESULT)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "text": lambda content: b"not an archive",
    "changed": lambda content: content[:-200] + bytes(100) + content[-100:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(damage, tmp_path):
    save_result(tmp_path, "000", RESULT)
    path = result_path(tmp_path, "000")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(InputError) as error:
        load_result(tmp_path, "000", ("map",))
    assert str(error.value).startswith(f"{path}: is not a result file")
    assert "remove the file and run the same command again" in str(error.value)


def test_no_change_of_a_byte_gets_through(tmp_path):
    """Whatever NumPy and zipfile raise for a damaged file comes out as an input error."""
    noise = np.random.default_rng(1).random((8, 8), np.float32)
    save_result(tmp_path, "000", RESULT | {"map": noise, "fingerprint": np.str_("abc")})
    path, random = result_path(tmp_path, "000"), np.random.default_rng(0)
    whole = path.read_bytes()
    for position, value in zip(random.integers(len(whole), size=400), random.integers(256, size=400), strict=True):
        path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
        with suppress(InputError):
            load_result(tmp_path, "000", ("map",))
        assert stored_fingerprint(tmp_path, "000") in (None, "", "abc")


def test_an_archive_of_other_files_is_refused(tmp_path):
    with zipfile.ZipFile(result_path(tmp_path, "000"), "w") as file:
        file.writestr("map", b"no array")
    with pytest.raises(InputError, match="has no array 'map'"):
        load_result(tmp_path, "000", ("map",))


def test_pickled_objects_are_refused(tmp_path):
    np.savez(result_path(tmp_path, "000"), map=np.array([{"any": "object"}], dtype=object))
    with pytest.raises(InputError, match="is not a result file"):
        load_result(tmp_path, "000")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"000\.npz: missing; run the same command again"):
        load_result(tmp_path, "000")
    save_result(tmp_path, "000", RESULT)
    with pytest.raises(InputError, match="has no array 'restored'"):
        load_result(tmp_path, "000", ("restored",))
