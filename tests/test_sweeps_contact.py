"""The contact sheet."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw
from sweeping import finish, studio, sweep_of  # noqa: F401

from styletransfer.sweeps import contact

pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture
def written(monkeypatch):
    """The text drawn into pictures, with its position."""
    found = {}
    write = ImageDraw.ImageDraw.text

    def spy(draw, corner, text, *arguments, **options):
        found[text] = corner
        write(draw, corner, text, *arguments, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return found


def test_the_contact_sheet_has_rows_and_columns_with_labels_and_pictures(written):
    sweep = sweep_of(vary={"style.images": ["painting.png", "absent.png"], "size": [40, 50, 60]})
    for job in sweep.jobs[:-1]:
        finish(job)
    finish(sweep.jobs[-1], 2, "error: the reason")
    sheet = Image.open(contact.write_contact_sheet(sweep))
    step = contact.CELL + contact.GAP
    assert sheet.width == contact.GAP + 4 * step
    assert [written[label][0] for label in ("size=40", "size=50", "size=60")] == [
        contact.GAP + n * step for n in (1, 2, 3)
    ]
    assert written["painting"][0] == written["absent"][0] == contact.GAP
    assert written["failed: the reason"][0] == contact.GAP + 3 * step + 6
    assert written["trial: style.images, size"]
    top = written["size=40"][1] + contact.TEXT + 8  # where the pictures begin
    assert sheet.height > top + 2 * 192
    painting = sheet.crop((contact.GAP, top, contact.GAP + 256, top + 256))
    assert painting.getpixel((2, 100)) == (255, 255, 255) and painting.getpixel((128, 100)) != (255, 255, 255)
    label = sheet.crop(
        (contact.GAP + step, written["size=40"][1], contact.GAP + 2 * step, written["size=40"][1] + contact.TEXT)
    )
    assert label.getextrema()[0][0] < 128


def test_one_key_is_one_row_with_photographs_above(written):
    sweep = sweep_of(vary={"content.image": ["photo.png", "./painting.png"]})
    finish(sweep.jobs[0])
    sheet = contact.contact_sheet(sweep)
    assert sheet.width == contact.GAP + 2 * (contact.CELL + contact.GAP)
    assert written["photo"][1] > 192 and written["left"][1] > written["photo"][1]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (5, 3), (50, 6)])
def test_listed_jobs_are_in_a_plain_grid_with_labels_below(written, count, columns):
    sweep = sweep_of(jobs=[{"seed": number} for number in range(count)])
    finish(sweep.jobs[0])
    assert contact.contact_sheet(sweep).width == contact.GAP + columns * (contact.CELL + contact.GAP)
    assert all(written[f"seed={number}"] for number in range(count)) and written["seed=0"][1] > 192


def test_unusual_labels_can_be_drawn():
    sweep = sweep_of(jobs=[{"content.image": "绘\u202e画 \U0001f3a8" * 50}, {"style.images": ["a" * 300 + ".jpg"] * 2}])
    assert contact.contact_sheet(sweep).width > 0
