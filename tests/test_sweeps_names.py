"""Names of jobs: labels, and folder names that are safe on any file system."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeping import studio, sweep_of  # noqa: F401

from styletransfer.sweeps import names

pytestmark = pytest.mark.usefixtures("studio")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("input/night.jpg", "night"), ("night.v2.jpg", "night.v2"), ("gpu:0", "gpu:0"), ("adam", "adam"), (0.1, "0.1"),
        (1e-5, "1e-05"), (123456789.5, "123456789.5"), (True, "true"), (None, "null"), (["a.jpg", "b/c.png"], "a+c"),
        ({"a.jpg": 1, "b.jpg": 2.0}, "a+b=2"), ({"kind": "noise"}, "kind=noise"), ([300, 400], "300+400"), ("/", "/"),
    ],
)  # fmt: skip
def test_labels(value, label):
    assert names.label(value) == label


def names_of(sweep):
    return [job.name for job in sweep.jobs]


def test_keys_with_the_same_name_are_distinguished():
    sweep = sweep_of(vary={"style.weight": [1], "content.weight": [2]})
    assert names_of(sweep) == ["style.weight=1,content.weight=2"]


def test_pictures_with_the_same_name_are_distinguished():
    sweep = sweep_of(vary={"content.image": ["a/x.jpg", "b/x.jpg", "b/X.jpg"], "style.images": ["n.jpg"]})
    assert names_of(sweep) == ["a-x,n", "b-x,n", "X,n"]


@pytest.mark.parametrize(
    "values",
    [
        ["a/x.jpg", "b/x.jpg", "c/x.jpg"],
        ["x.jpg", "a/x.jpg", "b/x.jpg"],
        ["p/a/x.jpg", "q/a/x.jpg", "r/a/x.jpg"],
        ["a/x.jpg", "a/x.png", "a/x.webp"],
        ["a b.jpg", "a%b.jpg", "a-b.jpg"],
        ["x.jpg", "X.jpg", "x.JPG"],
    ],
)
def test_no_folder_is_reused_by_another_job(values):
    def folders(values):
        return dict(zip(values, names_of(sweep_of(vary={"content.image": values}))))

    first, reverse = folders(values), folders(values[::-1])
    assert first == reverse
    for length in (1, 2):
        for few in itertools.combinations(values, length):
            for value, folder in folders(few).items():
                assert all(folder != other for name, other in first.items() if name != value), few


def test_jobs_with_the_same_label_are_distinguished_by_their_overrides():
    one, two = ({"tile": "auto"}, {"precision": "auto"})
    assert names_of(sweep_of(jobs=[one, two])) == names_of(sweep_of(jobs=[two, one]))[::-1]
    assert len(names_of(sweep_of(jobs=[one, dict(one)]))) == 1


def test_names_do_not_change_when_values_are_added():
    few, many = (sweep_of(vary={"style.images": values, "size": [64]}) for values in (["b.jpg"], ["a.jpg", "b.jpg"]))
    assert set(names_of(few)) < set(names_of(many))


@given(st.lists(st.one_of(st.text(), st.text(min_size=100), st.floats(), st.integers(), st.none(), st.booleans())))
def test_names_are_safe_and_unique(values):
    labels = [(names.label(value),) for value in [*values, "contact.png", "CON/..", "..", "é" * 200]]
    readable = (names.safe_name(part) or "base" for (part,) in labels)
    found = names.unique(readable, labels, ("contact.png", "results.csv"))
    assert len({name.casefold() for name in found}) == len(labels)
    for name in found:
        assert 0 < len(name.encode()) <= 140 and name[0] not in ".-"
        assert not set(name) & set("/\\\0 \n\t'\"$*?<>|:;&`(){}[]!~#%") and name not in ("contact.png", "results.csv")
