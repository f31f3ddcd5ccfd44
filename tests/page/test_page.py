"""The page in a real browser: upload, run, watch, stop, go on, save, broken uploads, two tabs.

`make test-page` starts the browser; without one these tests are not run.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request

import pytest
import yaml
from browser import PROJECT, Tab, chromium, server, until
from PIL import Image

pytestmark = pytest.mark.page

PHOTO, PAINTING = PROJECT / "input" / "chelsea.jpg", PROJECT / "input" / "mosaic.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def address(folder):
    with server(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser(folder):
    with chromium(folder) as browser:
        yield browser


@pytest.fixture
def tab(browser, address):
    return Tab(browser).open(address)


@pytest.fixture(scope="module")
def runs(folder):
    """The folders of all runs, the newest last."""
    return lambda: sorted(path.parent for path in (folder / "output").glob("*/job.yaml"))


def prepare(tab, steps, size=128):
    """A photograph of our own, a painting of the project, a small picture."""
    tab.send("#photo", PHOTO)
    until(lambda: "uploads" in tab.one("#photo img").get_attribute("src") or tab.all("#photo img"))
    if not tab.all('#paintings img[alt^="✓"]'):
        tab.click("#paintings .thumbnail-item", 0)
    until(lambda: tab.all('#paintings img[alt^="✓"]'))
    if not tab.all("#steps input[type=number]"):
        tab.click("#more button")
    tab.set("#size", size)
    tab.set("#steps", steps)
    until(lambda: (tab.value("#size"), tab.value("#steps")) == (size, steps))
    until(lambda: "memory" in tab.one("#estimate").text)


def test_an_upload_becomes_a_picture_that_is_watched_and_saved(tab, folder, runs, address):
    prepare(tab, steps=20)
    assert [path.name.startswith("photo-") for path in (folder / "output" / "uploads").iterdir()] == [True]
    tab.click("#start")
    tab.reaches("running")
    first = tab.picture()
    until(lambda: "of 40" in tab.said and "left" in tab.said)
    until(lambda: tab.picture() != first)
    until(lambda: tab.all("#curve canvas, #curve svg"))
    tab.reaches("done")
    (run,) = runs()
    assert (run / "image.png").is_file() and "40 steps" in tab.said

    with Image.open(run / "image.png") as image:
        assert max(image.size) == 128
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["content"]["image"].startswith("output/uploads/photo-")
    assert (config["size"], config["stop"]["max_iterations"]) == (128, 20)

    tab.click("#views button[role=tab]", 1)
    until(lambda: len(tab.all("#compared img")) == 2)
    tab.click("#save")
    tab.click("#save-config")
    downloads = folder / "downloads"
    picture, saved = until(
        lambda: [downloads / f"{run.name}{suffix}" for suffix in (".png", ".yaml")]
        if all((downloads / f"{run.name}{suffix}").exists() for suffix in (".png", ".yaml"))
        else None
    )
    assert picture.read_bytes() == (run / "image.png").read_bytes()
    assert yaml.safe_load(saved.read_text()) == config
    until(lambda: tab.all("#gallery .thumbnail-item"))


def test_a_run_is_stopped_and_goes_on_where_it_was(tab, runs):
    prepare(tab, steps=200)
    tab.click("#start")
    tab.reaches("running")
    until(lambda: "left" in tab.said)
    tab.click("#stop")
    tab.reaches("stopped")
    run = runs()[-1]
    assert (run / "checkpoint.npz").exists() and not (run / "image.png").exists()
    curve = (run / "curve.csv").read_text().splitlines()
    tab.set("#steps", 20)
    until(lambda: tab.value("#steps") == 20)
    tab.click("#go-on")
    tab.reaches("done")
    assert runs()[-1] == run and (run / "image.png").exists()
    assert (run / "curve.csv").read_text().splitlines()[: len(curve)] == curve


def test_a_setting_is_changed_while_a_run_is_made(tab, runs):
    prepare(tab, steps=200)
    tab.click("#start")
    tab.reaches("running")
    until(lambda: "left" in tab.said)
    before = runs()[-1]
    tab.set("#style-weight", 500)
    tab.set("#steps", 10)
    until(lambda: tab.value("#style-weight") == 500)
    tab.click("#go-on")
    until(lambda: runs()[-1] != before and tab.state == "done")
    run = runs()[-1]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["style"]["weight"], config["init"]["kind"]) == (500, "image")
    assert (run / "start.png").exists() and not (before / "image.png").exists()


def test_two_tabs_see_the_same_runs(tab, address, browser, runs):
    """The second waits in line; a reload finds the picture that is being made."""
    prepare(tab, steps=150)
    tab.click("#start")
    tab.reaches("running")
    browser.switch_to.new_window("tab")
    other = Tab(browser).open(address)
    other.reaches("running")
    until(lambda: other.value("#size") == 128 and other.all('#paintings img[alt^="✓"]'))
    until(lambda: other.all("#picture img"))
    other.click("#start")
    other.reaches("waiting")
    assert "number 1 in line" in other.said
    tab.show()
    until(lambda: "In line:" in tab.one("#line").text)
    browser.refresh()
    tab.reaches("running")
    until(lambda: tab.all("#picture img") and tab.value("#size") == 128)
    other.show()
    other.click("#stop")
    until(lambda: other.state != "waiting")
    tab.show()
    tab.click("#stop")
    tab.reaches("stopped")
    other.show()
    browser.close()
    tab.show()


@pytest.mark.parametrize(
    "content", [b"no picture at all", b"\xff\xd8\xff\xe0 cut off", b""], ids=["text", "cut", "empty"]
)
@pytest.mark.parametrize("place", ["#photo", "#painting"])
def test_a_broken_upload_is_told_in_a_line(tab, folder, content, place):
    count = len(list(folder.glob("output/uploads/*")))
    (folder / "broken.jpg").write_bytes(content)
    tab.send(place, folder / "broken.jpg")
    said = until(lambda: tab.one(".toast-body, [data-testid=toast-body]").text)
    assert "the file" in said and "Traceback" not in said and str(folder) not in said
    assert len(list(folder.glob("output/uploads/*"))) == count
    tab.click("#start")
    until(lambda: any("choose" in toast.text for toast in tab.all(".toast-body, [data-testid=toast-body]")))


def test_a_painting_of_ones_own_is_chosen(tab):
    count = len(tab.all("#paintings .thumbnail-item"))
    tab.send("#painting", PAINTING)
    until(lambda: len(tab.all("#paintings .thumbnail-item")) == count + 1)
    assert len(tab.all('#paintings img[alt^="✓ painting-"]')) == 1


def test_an_earlier_picture_opens_with_its_settings(tab, runs):
    until(lambda: tab.all("#gallery .thumbnail-item"))
    tab.click("#gallery .thumbnail-item", len(tab.all("#gallery .thumbnail-item")) - 1)
    tab.reaches("done")
    until(lambda: tab.value("#size") == 128 and tab.all('#paintings img[alt^="✓ night"]'))
    assert tab.all("#photo img")


def test_nothing_comes_from_elsewhere(browser, address):
    tab = Tab(browser).open(address)
    tab.requested()
    tab.open(address)
    until(lambda: tab.all("#paintings .thumbnail-item"))
    time.sleep(1)
    asked = {url for url in tab.requested() if not url.startswith(("data:", "blob:", "chrome"))}
    assert len(asked) > 5
    assert {url for url in asked if not url.startswith(address)} == set()
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def status_of(url, data=None, **headers):
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_other_sites_and_other_files_are_refused(address, folder):
    assert status_of(address) == 200
    assert status_of(address, Origin="http://elsewhere.example") == 403
    assert status_of(address, Host="elsewhere.example") == 403
    (folder / "secret.png").write_bytes(PHOTO.read_bytes())
    for path in ("/etc/passwd", folder / "secret.png"):
        assert status_of(f"{address}/gradio_api/file={path}") in (403, 404)


def test_what_is_too_large_is_not_taken(address):
    boundary = "x" * 20
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body = head.encode() + b"\0" * (33 * 10**6) + f"\r\n--{boundary}--\r\n".encode()
    content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert status_of(f"{address}/gradio_api/upload", body, **content_type) == 413


def test_the_end_of_the_server_saves_the_run(tmp_path):
    with server(tmp_path) as address, chromium(tmp_path) as driver:
        tab = Tab(driver).open(address)
        prepare(tab, steps=300)
        tab.click("#start")
        tab.reaches("running")
        until(lambda: "left" in tab.said)
    (run,) = (tmp_path / "output").glob("*-x-*")
    assert (run / "checkpoint.npz").exists() and (run / "job.status").read_text() == "75\n"
    with server(tmp_path) as address, chromium(tmp_path) as driver:
        tab = Tab(driver).open(address)
        until(lambda: tab.all("#gallery .thumbnail-item"))
        tab.click("#gallery .thumbnail-item")
        tab.reaches("stopped")
