import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter
from skimage import draw

from rgi.data.images import (
    cell_means,
    check_image,
    check_mask,
    is_grey,
    parallel_map,
    read_image,
    read_mask,
    upright_size,
)
from rgi.errors import InputError

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def saved(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def test_values_and_shape(tmp_path):
    path = saved(tmp_path / "a.png", np.array([[0, 255], [51, 102]], np.uint8).repeat(16, 0).repeat(16, 1))
    image = read_image(path, 1, 32)
    assert image.shape == (1, 32, 32)
    assert image.dtype == torch.float32
    corners = image[0, ::31, ::31]
    torch.testing.assert_close(corners, torch.tensor([[-1.0, 1.0], [-0.6, -0.2]]))


def test_resizing_does_not_alias(tmp_path):
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    image = read_image(saved(tmp_path / "board.png", board), 1, 32)
    assert image.abs().max() < 0.02


def test_the_square_is_filled_whatever_the_aspect(tmp_path):
    halves = np.zeros((30, 200), np.uint8)
    halves[:, 100:] = 255
    image = read_image(saved(tmp_path / "wide.png", halves), 1, 64)
    assert (image[0, :, :28] == -1).all()
    assert (image[0, :, 36:] == 1).all()


def test_colour_to_grey_is_the_luma_of_itu_r_601(tmp_path):
    path = saved(tmp_path / "colour.png", NOISE[:, :40])
    colour, grey = read_image(path, 3, 40), read_image(path, 1, 40)
    expected = torch.tensordot(torch.tensor([0.299, 0.587, 0.114]), colour, 1)
    assert (grey[0] - expected).abs().max() < 2 / 255


def test_grey_to_colour_repeats_the_channel(tmp_path):
    path = saved(tmp_path / "grey.png", NOISE[:, :40, 0])
    assert torch.equal(read_image(path, 3, 40), read_image(path, 1, 40).expand(3, -1, -1))


@pytest.mark.parametrize(("tag", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, tag, turns):
    upright = NOISE[:, :40]
    exif = Image.Exif()
    exif[0x0112] = tag
    turned = saved(tmp_path / "turned.png", np.rot90(upright, -turns).copy(), exif=exif)
    plain = saved(tmp_path / "plain.png", upright)
    assert torch.equal(read_image(turned, 3, 40), read_image(plain, 3, 40))


def test_exif_orientation_counts_in_the_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        path = saved(tmp_path / f"turned{suffix}", NOISE, exif=exif)
        assert check_image(path) == upright_size(path) == (40, 60)


def test_an_orientation_behind_the_pixels_counts_in_the_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "turned.png", NOISE, exif=exif)
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    stop = start + 12 + int.from_bytes(data[start : start + 4], "big")
    path.write_bytes(data[:start] + data[stop:-12] + data[start:stop] + data[-12:])
    assert read_image(path, 3, 60).equal(read_image(saved(tmp_path / "b.png", np.rot90(NOISE, 3).copy()), 3, 60))
    assert upright_size(path) == (40, 60)


def test_the_size_is_found_without_decoding(tmp_path, monkeypatch):
    paths = [saved(tmp_path / f"plain{suffix}", NOISE) for suffix in (".png", ".jpg", ".bmp", ".webp", ".tif")]

    def fail(file):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    assert [upright_size(path) for path in paths] == [(60, 40)] * 5


def test_a_box_is_all_that_is_seen(tmp_path):
    alone = saved(tmp_path / "alone.png", NOISE[5:35, 10:50])
    other = np.random.default_rng(1).integers(0, 256, NOISE.shape, np.uint8)
    other[5:35, 10:50] = NOISE[5:35, 10:50]
    for pixels in (NOISE, other):
        path = saved(tmp_path / "more.png", pixels)
        assert torch.equal(read_image(path, 3, 16, (10, 5, 50, 35)), read_image(alone, 3, 16))
    assert torch.equal(read_image(alone, 3, 16, (0, 0, 40, 30)), read_image(alone, 3, 16))


def test_a_box_may_cut_through_pixels(tmp_path):
    """With every pixel made 4x4 of them, the same box cuts between them."""
    coarse = saved(tmp_path / "coarse.png", NOISE)
    fine = saved(tmp_path / "fine.png", NOISE.repeat(4, 0).repeat(4, 1))
    box = (2.5, 4.25, 50.5, 36.25)
    found, expected = read_image(coarse, 3, 8, box), read_image(fine, 3, 8, tuple(4 * side for side in box))
    assert (found - expected).abs().max() < 0.05


def test_a_mask_is_cut_as_its_image(tmp_path):
    marks = (NOISE[..., 0] > 127).astype(np.uint8) * 255
    path, alone = saved(tmp_path / "mask.png", marks), saved(tmp_path / "alone.png", marks[5:35, 10:50])
    assert torch.equal(read_mask(path, 16, (10, 5, 50, 35))[0], read_mask(alone, 16)[0])
    halves = np.zeros((32, 32), np.uint8)
    halves[:, 16:] = 255
    mask = read_mask(saved(tmp_path / "halves.png", halves), 16, (7.5, 0, 23.5, 32))[0]
    assert mask[0].sum(0).tolist() == [0] * 8 + [16] * 8


def test_what_is_grey(tmp_path):
    grey = Image.fromarray(NOISE).convert("L")
    kinds = {"L": grey, "1": grey.convert("1"), "P": grey.convert("P")}
    for mode, image in kinds.items():
        image.save(tmp_path / "grey.png")
        assert Image.open(tmp_path / "grey.png").mode == mode
        assert is_grey(tmp_path / "grey.png")
    for mode in ("RGB", "P"):
        assert not is_grey(saved(tmp_path / "colour.png", NOISE, mode))


def test_each_keeps_the_order_and_passes_errors_on():
    assert list(parallel_map(lambda number: -number, range(1000), "counting")) == [-number for number in range(1000)]
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda number: 1 / (number - 500), range(1000), "dividing"))


@pytest.mark.parametrize("resolution", [32, 64, 96, 200])
def test_a_large_mask_keeps_its_area_and_place(tmp_path, resolution):
    disc = np.zeros((150, 220), bool)
    disc[draw.ellipse(70, 90, 45, 60)] = True
    mask = read_mask(saved(tmp_path / "disc.png", disc.astype(np.uint8) * 255), resolution)[0]
    assert mask.shape == (1, resolution, resolution)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask.mean().item() == pytest.approx(disc.mean(), rel=0.03)
    rows, columns = np.nonzero(mask[0].numpy())
    assert (rows.mean() + 0.5) / resolution == pytest.approx(70.5 / 150, abs=0.01)
    assert (columns.mean() + 0.5) / resolution == pytest.approx(90.5 / 220, abs=0.01)


def test_a_mask_pixel_is_set_from_half_its_area_on(tmp_path):
    quarters = np.zeros((32, 32), np.uint8)
    quarters[0, 0] = 255  # a quarter of the first 2x2 pixels
    quarters[0, 2:4] = 255  # half of the second
    quarters[0:2, 4:6] = 127  # all of the third, but not above the threshold
    quarters[0:2, 6:8] = 128
    mask = read_mask(saved(tmp_path / "mask.png", quarters), 16)[0]
    assert mask[0, 0].tolist() == [0, 1, 0, 1] + [0] * 12
    assert mask[0, 1:].sum() == 0


def test_masks_mirror_with_their_file(tmp_path):
    marks = (NOISE[..., 0] > 127).astype(np.uint8) * 255
    mask = read_mask(saved(tmp_path / "a.png", marks), 18)[0]
    mirrored = read_mask(saved(tmp_path / "b.png", marks[::-1, ::-1].copy()), 18)[0]
    assert torch.equal(mirrored, mask.flip(1, 2))


@pytest.mark.parametrize(("pixels", "cells"), [(60, 16), (16, 60), (37, 11), (32, 32), (7, 3)])
def test_cell_means_are_exact(pixels, cells):
    """Cutting each pixel into as many parts as there are cells makes the cells whole."""
    values = NOISE[:5, :pixels, 0].T.astype(float)
    expected = values.repeat(cells, 0).reshape(cells, pixels, 5).mean(1)
    np.testing.assert_allclose(cell_means(values, cells), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [(None, ".png"), ("L", ".png"), ("1", ".png"), ("P", ".png"), (None, ".jpg"), ("L", ".bmp"), (None, ".webp")],
)
def test_good_images_pass_and_can_be_read(tmp_path, mode, suffix):
    path = saved(tmp_path / f"good{suffix}", NOISE, mode)
    assert check_image(path) == (60, 40)
    for channels in (1, 3):
        image = read_image(path, channels, 24)
        assert image.shape == (channels, 24, 24)
        assert image.abs().max() <= 1


def palette_with_transparency(path):
    Image.fromarray(NOISE).convert("P").save(path, transparency=0)


def truncated(suffix):
    def write(path):
        whole = saved(path.with_suffix(suffix), NOISE)
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])

    return write


def several(path):
    pages = [Image.fromarray(NOISE), Image.fromarray(NOISE[::-1])]
    pages[0].save(path, format="TIFF", save_all=True, append_images=pages[1:])


def flipped_bit(path):
    data = bytearray(saved(path, NOISE).read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def colour_16_bits(path):
    """A 48-bit PNG, which Pillow reads but cannot write."""
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in NOISE)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def colour_16_bits_tiff(path):
    """A 48-bit TIFF without compression, which Pillow reads as 8 bits but cannot write."""
    pixels = (NOISE.astype("<u2") * 257).tobytes()
    bits = struct.pack("<HHH", 16, 16, 16)
    tags = [(256, 4, 1, 60), (257, 4, 1, 40), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 14), (277, 3, 1, 3), (278, 4, 1, 40), (279, 4, 1, len(pixels)), (284, 3, 1, 1)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 14 + len(pixels)) + bits + pixels + directory)


def megapixels_190(path):
    """The header of a PNG of 19000x10000 pixels, without pixels."""
    data = bytearray(saved(path, NOISE[..., 0]).read_bytes())
    data[16:24] = struct.pack(">II", 19000, 10000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


BAD_IMAGES = {
    "text": (lambda path: path.write_text("hello, I am a picture"), "not recognised as an image"),
    "empty": (lambda path: path.write_bytes(b""), "not recognised as an image"),
    "truncated png": (truncated(".png"), "the file is damaged"),
    "truncated jpeg": (truncated(".jpg"), "the file is damaged"),
    "damaged png": (flipped_bit, "the file is damaged"),
    "16 bits": (lambda path: Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257).save(path), "8-bit"),
    "16 bits of colour": (colour_16_bits, "8 bits per channel"),
    "16 bits of colour in a TIFF": (colour_16_bits_tiff, "8 bits per channel"),
    "32 bits": (lambda path: Image.fromarray(NOISE[..., 0].astype(np.int32)).save(path, "TIFF"), "8-bit"),
    "float": (lambda path: Image.fromarray(NOISE[..., 0].astype(np.float32)).save(path, "TIFF"), "mode F"),
    "lab": (lambda path: Image.fromarray(NOISE, "LAB").save(path, "TIFF"), "mode LAB"),
    "gif": (lambda path: Image.fromarray(NOISE).save(path, "GIF"), "not recognised as an image"),
    "eps": (lambda path: Image.fromarray(NOISE).save(path, "EPS"), "not recognised as an image"),
    "190 megapixels": (megapixels_190, "too large to be decoded safely"),
    "cmyk": (lambda path: Image.fromarray(NOISE).convert("CMYK").save(path, "JPEG"), "mode CMYK"),
    "rgba": (lambda path: Image.fromarray(NOISE).convert("RGBA").save(path), "alpha"),
    "la": (lambda path: Image.fromarray(NOISE).convert("LA").save(path), "alpha"),
    "palette": (palette_with_transparency, "alpha"),
    "colour key": (lambda path: Image.fromarray(NOISE).save(path, transparency=(1, 2, 3)), "alpha"),
    "tiny": (lambda path: Image.fromarray(NOISE[:3, :1]).save(path), "1x3 pixels"),
    "narrow": (lambda path: Image.fromarray(NOISE[:15]).save(path), "60x15 pixels"),
    "pages": (several, "2 images"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_bad_images_are_refused(tmp_path, kind):
    write, complaint = BAD_IMAGES[kind]
    path = tmp_path / "bad.png"
    write(path)
    with pytest.raises(InputError, match=complaint) as error:
        check_image(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_large_image_is_read_with_a_warning(tmp_path, monkeypatch):
    """Pillow warns from half the size on that it refuses."""
    path = saved(tmp_path / "large.png", NOISE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", NOISE[..., 0].size - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        assert check_image(path) == (60, 40)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_no_cut_of_a_file_gets_through(tmp_path):
    """Whatever Pillow raises for a cut file comes out as an input error, unless all pixels are there."""
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp"):
        path = saved(tmp_path / f"whole{suffix}", NOISE)
        data, cut = path.read_bytes(), tmp_path / f"cut{suffix}"
        for length in range(0, len(data) - 20, len(data) // 60):
            cut.write_bytes(data[:length])
            with pytest.raises(InputError):
                check_image(cut)


@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_good_masks_pass(tmp_path, mode):
    marks = (NOISE[..., 0] > 127).astype(np.uint8) * 255
    check_mask(saved(tmp_path / "mask.png", marks, mode), (60, 40))
    check_mask(saved(tmp_path / "empty.png", marks * 0, mode), (60, 40))


@pytest.mark.parametrize("kind", ["soft", "blurred", "jpeg", "hairline"])
def test_masks_with_soft_edges_pass(tmp_path, kind):
    """Grey values along an edge are no class."""
    image = Image.new("L", (240, 160))
    ImageDraw.Draw(image).ellipse((20, 30, 120, 100), fill=255)
    ImageDraw.Draw(image).line((10, 150, 220, 110), fill=255, width=2)
    if kind == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(3))
    if kind == "hairline":
        image = Image.new("L", (240, 160))
        ImageDraw.Draw(image).line((10, 150, 220, 110), fill=255, width=4)
    image = image.resize((60, 40), Image.Resampling.BILINEAR)
    path = tmp_path / ("mask.jpg" if kind == "jpeg" else "mask.png")
    image.save(path)
    check_mask(path, (60, 40))


def classes(*values):
    """A mask with a block of each value."""
    mask = np.zeros((40, 60), np.uint8)
    for position, value in enumerate(values):
        mask[5:15, 10 * position : 10 * position + 6] = value
    return mask


def test_a_thin_defect_vanishes_from_a_small_mask_but_marks_its_image(tmp_path):
    hairline = np.zeros((320, 320), np.uint8)
    hairline[100, 20:300] = 255
    path = saved(tmp_path / "mask.png", hairline)
    mask, marked = read_mask(path, 16)
    assert (mask.any().item(), marked) == (False, True)
    assert read_mask(path, 16, (0, 0, 320, 99))[1] is False
    assert read_mask(path, 16, (0, 0, 320, 100.5))[1] is True
    assert read_mask(saved(tmp_path / "empty.png", hairline * 0), 16)[1] is False


BAD_MASKS = {
    "size": (np.zeros((60, 40), np.uint8), "40x60 pixels but its image has 60x40"),
    "zero and one": ((NOISE[..., 0] > 127).astype(np.uint8), "highest value 1"),
    "classes": (classes(85, 255), "areas of the grey values 85, which would count as clean"),
    "four classes": (classes(50, 100, 150, 255), "areas of the grey values 50, 100, which"),
    "red": (NOISE * np.array([1, 0, 0], np.uint8), "coloured"),
    "alpha": (np.dstack([NOISE, NOISE[..., :1]]), "alpha"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_bad_masks_are_refused(tmp_path, kind):
    pixels, complaint = BAD_MASKS[kind]
    path = saved(tmp_path / "mask.png", pixels)
    with pytest.raises(InputError, match=complaint) as error:
        check_mask(path, (60, 40))
    assert str(error.value).startswith(f"{path}: ")
