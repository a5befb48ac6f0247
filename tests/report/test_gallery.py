"""Which images the gallery shows, and in which order."""

import pandas as pd
from helpers.report_page import NAN, image

from rgi.report.gallery import gallery, ranked


def test_an_image_without_a_score_goes_last():
    rows = [image("a"), image("b", score=NAN), image("c", score=1.0)]
    assert ranked(pd.DataFrame(rows))[1] == ["c", "a", "b"]
    assert ranked(pd.DataFrame({"name": ["b", "a"]})) == ([], ["a", "b"])


def test_places_left_by_corrupted_images_show_the_extreme_clean_ones():
    rows = [image(f"bad{number}", 0.5) for number in range(50)] + [
        image(f"ok{number:02d}", score=-number) for number in range(30)
    ]
    first, second = gallery(pd.DataFrame(rows))
    assert (len(first.head), first.left_out) == (50, 0)
    assert (second.head, second.left_out) == ([f"ok{number:02d}" for number in range(5)], 20)
    assert second.tail == [f"ok{number:02d}" for number in range(25, 30)]
