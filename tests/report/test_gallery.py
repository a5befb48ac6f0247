"""Choice and order of the images in the gallery."""

import pandas as pd
from helpers.report_page import NAN, image

from rgi.report.gallery import gallery, rank_images


def test_images_without_a_score_come_last():
    rows = [image("a"), image("b", score=NAN), image("c", score=1.0)]
    assert rank_images(pd.DataFrame(rows))[1] == ["c", "a", "b"]
    assert rank_images(pd.DataFrame({"name": ["b", "a"]})) == ([], ["a", "b"])


def test_the_first_and_last_clean_images_fill_the_remaining_places():
    rows = [image(f"bad{number}", 0.5) for number in range(50)] + [
        image(f"ok{number:02d}", score=-number) for number in range(30)
    ]
    first, second = gallery(pd.DataFrame(rows))
    assert (len(first.head), first.omitted) == (50, 0)
    assert (second.head, second.omitted) == ([f"ok{number:02d}" for number in range(5)], 20)
    assert second.tail == [f"ok{number:02d}" for number in range(25, 30)]
