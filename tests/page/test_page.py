"""The page in a real browser: upload, run, watch, stop, go on, save, broken uploads, two tabs.

`make test-page` starts the browser; without one these tests are not run. Every test can be run alone: what it needs it
makes itself, and it does not mind what others have made.
"""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from browser import PATIENCE, PROJECT, Tab, chromium, server, until
from PIL import Image

from styletransfer.feedforward import style_file
from styletransfer.page.uploads import MOST_BYTES

pytestmark = pytest.mark.page

PHOTO, ROCKET, MOSAIC = (PROJECT / "input" / f"{name}.jpg" for name in ("chelsea", "rocket", "mosaic"))
MOSAIC_TILE = '#paintings .thumbnail-item:has(img[alt$="mosaic"])'
TOAST = ".toast-body, [data-testid=toast-body]"


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
def tab(browser, address, runs):
    """The page, freshly opened, with the settings of the latest run of this server if there is one."""
    tab = Tab(browser).open(address)
    if runs():
        until("the latest run to be shown", lambda: tab.state != "empty")
        tab.has('#photographs img[alt^="✓"]')
    return tab


@pytest.fixture(scope="module")
def runs(folder):
    """The folders of all runs, the newest last."""
    return lambda: sorted(path.parent for path in (folder / "output").glob("*/job.yaml"))


@pytest.fixture(scope="module")
def earlier(folder):
    """A finished run made on the command line, with pictures that no other test here uses."""
    place = folder / "output" / "earlier"
    command = [os.environ["NSTYLE_PYTHON"], PROJECT / "scripts" / "nstyle.py"]
    for key, value in {
        "content.image": ROCKET, "style.images": MOSAIC, "size": 96, "scales": 1, "stop.max_iterations": 3,
        "output.folder": place,
    }.items():  # fmt: skip
        command += ["--set", f"{key}={value}"]
    command[0] = str(Path(command[0]).absolute())
    made = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert made.returncode == 0, made.stderr
    return place


def prepare(tab, steps, size=256):
    """A photograph of our own, a painting of the project, a small picture."""
    upload(tab, "#photo", PHOTO, "#photographs")
    tab.click(MOSAIC_TILE)
    until("the instant picture", lambda: tab.state == "instant" and "mosaic" in tab.said)
    show_settings(tab)
    set_all(tab, {"#size": size, "#steps": steps})
    until("the estimate", lambda: "memory" in tab.one("#estimate").text)


def upload(tab, place, path, tiles):
    """Send a picture, which becomes the first tile and is chosen."""
    tab.send(place, path)
    until("the upload", lambda: captions(tab, tiles)[0] == f"✓ {path.stem}")


def captions(tab, tiles):
    return [image.get_attribute("alt") for image in tab.all(f"{tiles} .thumbnail-item img")]


def chosen(tab, tiles):
    return [caption[2:] for caption in captions(tab, tiles) if caption.startswith("✓ ")]


def show_settings(tab):
    if not tab.all("#steps input[type=number]"):
        tab.click("#fold > button")
        tab.has("#steps input[type=number]")


def show_more(tab):
    show_settings(tab)
    if not tab.all("#color input"):
        tab.click("#more > button")
        tab.has("#color input")


def set_all(tab, values):
    for selector, value in values.items():
        tab.set(selector, value)
    until(f"the settings {values}", lambda: all(tab.value(selector) == value for selector, value in values.items()))
    time.sleep(3)  # the page sends a value a moment after it is typed, later on a busy machine


def refine(tab, runs):
    """Start a run; its folder."""
    before = runs()
    tab.click("#refine")
    return until("another run", lambda: runs()[-1] if len(runs()) > len(before) else None)


def start(tab, runs):
    """Start a run, which makes steps then; its folder."""
    run = refine(tab, runs)
    tab.reaches("running")
    tab.says("left")
    return run


def test_an_upload_becomes_a_picture_that_is_watched_and_saved(tab, folder, runs):
    prepare(tab, steps=100)
    assert {path.name for path in (folder / "output" / "uploads").glob("*/*")} == {"chelsea.jpg"}
    run = start(tab, runs)
    first = tab.picture()
    tab.says("of 100")
    until("a newer picture", lambda: tab.picture() != first)
    tab.click("#losses > button")
    tab.has("#curve svg")
    until("the legend", lambda: {"total", "content", "style", "tv"} <= set(tab.one("#curve svg").text.split()))
    below = [tab.one(part).rect for part in ("#curve", "#curve svg")]
    assert below[1]["y"] + below[1]["height"] <= below[0]["y"] + below[0]["height"]  # the legend is not cut off
    tab.reaches("done")
    assert (run / "image.png").is_file() and "100 steps" in tab.said

    with Image.open(run / "image.png") as image:
        assert max(image.size) == 256
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["content"]["image"].startswith("output/uploads/")
    assert (config["init"]["kind"], config["init"]["strength"]) == ("instant", 0.6)
    assert (config["size"], config["stop"]["max_iterations"]) == (256, 100)

    tab.click("#views button[role=tab]", 1)
    tab.has("#compared img", 2)
    tab.click("#save")
    tab.click("#save-config")
    files = [folder / "downloads" / f"{run.name}{suffix}" for suffix in (".png", ".yaml")]
    until("both downloads", lambda: all(file.exists() for file in files))
    assert files[0].read_bytes() == (run / "image.png").read_bytes()
    assert yaml.safe_load(files[1].read_text()) == config
    tab.has("#gallery .thumbnail-item")


def test_a_run_is_stopped_and_goes_on_where_it_was(tab, runs):
    prepare(tab, steps=200)
    run = start(tab, runs)
    tab.click("#stop")
    tab.reaches("stopped")
    assert (run / "checkpoint.npz").exists() and not (run / "image.png").exists()
    curve = (run / "curve.csv").read_text().splitlines()
    set_all(tab, {"#steps": 20})
    tab.click("#go-on")
    tab.reaches("done")
    assert runs()[-1] == run and (run / "image.png").exists()
    assert (run / "curve.csv").read_text().splitlines()[: len(curve)] == curve


def test_a_setting_is_changed_while_a_run_is_made(tab, runs):
    prepare(tab, steps=300)
    before = start(tab, runs)
    set_all(tab, {"#style-weight": 500, "#steps": 10})
    tab.click("#go-on")
    until("the new run to be done", lambda: runs()[-1] != before and tab.state == "done")
    run = runs()[-1]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["style"]["weight"], config["init"]["kind"]) == (500, "image")
    assert (run / "start.png").exists() and not (before / "image.png").exists()


def test_two_tabs_see_the_same_runs(tab, address, browser, runs):
    """The second waits in line; a reload finds the picture that is being made."""
    prepare(tab, steps=300, size=192)
    start(tab, runs)
    browser.switch_to.new_window("tab")
    other = Tab(browser).open(address)
    try:
        other.reaches("running")
        show_settings(other)
        until("the size of the run", lambda: other.value("#size") == 192)
        assert chosen(other, "#paintings") == ["mosaic"]
        other.has("#picture img")
        other.click("#refine")
        other.reaches("waiting")
        other.says("number 1 in line")
        tab.show()
        until("the line", lambda: "In line:" in tab.one("#line").text)
        browser.refresh()
        tab.reaches("running")
        tab.has("#picture img")
        show_settings(tab)
        until("the size of the run", lambda: tab.value("#size") == 192)
        other.show()
        other.click("#stop")
        until("the end of waiting", lambda: other.state not in ("waiting", "running"))
        tab.show()
        tab.click("#stop")
        tab.reaches("stopped")
    finally:
        other.show()
        browser.close()
        tab.show()


BROKEN = pytest.mark.parametrize(
    "content", [b"no picture at all", b"\xff\xd8\xff\xe0 cut off", b""], ids=["text", "cut", "empty"]
)


def send_broken(tab, folder, place, content):
    """Send a broken file; the page tells it in a line, and nothing is kept."""
    before, count = (chosen(tab, "#photographs"), chosen(tab, "#paintings")), len(list(folder.glob("output/uploads/*")))
    (folder / "broken.jpg").write_bytes(content)
    tab.send(place, folder / "broken.jpg")
    said = until("a message", lambda: tab.one(TOAST).text)
    assert "the file" in said and "Traceback" not in said and str(folder) not in said
    assert len(list(folder.glob("output/uploads/*"))) == count
    time.sleep(1)
    assert (chosen(tab, "#photographs"), chosen(tab, "#paintings")) == before


@BROKEN
def test_a_broken_photograph_is_told_in_a_line(tab, folder, content):
    send_broken(tab, folder, "#photo", content)
    until("another can be sent", lambda: tab.all("#photo input[type=file]"))


@BROKEN
def test_a_broken_painting_is_told_in_a_line(tab, folder, content):
    tab.has("#paintings .thumbnail-item")
    offered = len(tab.all("#paintings .thumbnail-item"))
    send_broken(tab, folder, "#painting", content)
    time.sleep(1)
    assert len(tab.all("#paintings .thumbnail-item")) == offered


def test_an_instant_picture_follows_the_choice(tab, folder, runs):
    prepare(tab, steps=20)
    count, first = len(runs()), tab.picture()
    tab.set("#strength", 0.3)
    until("a weaker one", lambda: tab.picture() != first)
    second = tab.picture()
    tab.click('#paintings .thumbnail-item:has(img[alt$="wave"])')
    until("one of another painting", lambda: tab.picture() != second and "wave" in tab.said)
    assert chosen(tab, "#paintings") == ["wave"] and tab.value("#strength") == 0.3
    tab.click("#views button[role=tab]", 1)
    tab.has("#compared img", 2)
    tab.click("#save")
    until("the download", lambda: (folder / "downloads" / "chelsea-wave.jpg").exists())
    assert len(runs()) == count
    config = yaml.safe_load((refine(tab, runs) / "job.yaml").read_text())
    assert (config["init"]["kind"], config["init"]["strength"]) == ("instant", 0.3)
    tab.reaches("done")


def test_an_upload_takes_the_place_of_the_choice_and_a_blend_is_asked_for(tab, folder):
    prepare(tab, steps=20)
    path = folder / "my own.png"
    Image.effect_mandelbrot((64, 48), (-3, -2.5, 2, 2.5), 100).convert("RGB").save(path)  # which no run has
    tab.send("#painting", path)
    until("the upload", lambda: chosen(tab, "#paintings") == ["my-own"])
    tab.click("#blend input")
    tab.click(MOSAIC_TILE)
    until("both", lambda: chosen(tab, "#paintings") == ["my-own", "mosaic"])
    until("the blend", lambda: "my-own+mosaic" in tab.said)
    first = tab.picture()
    until("their weights", lambda: [each.is_displayed() for each in tab.all(".weight")][:2] == [True, True])
    tab.set(".weight", 3)
    until("another blend", lambda: tab.picture() != first)
    tab.click("#blend input")
    until("the first", lambda: chosen(tab, "#paintings") == ["my-own"])


@pytest.mark.skipif(not style_file.names(), reason="no style is bundled")
def test_a_trained_style_is_a_choice_like_paintings(tab, runs):
    prepare(tab, steps=10)
    first, name = tab.picture(), style_file.names()[0]
    tab.click(f'#paintings .thumbnail-item:has(img[alt="{name} (trained)"])')
    until("the choice", lambda: chosen(tab, "#paintings") == [f"{name} (trained)"])
    until("its picture", lambda: tab.state == "instant" and tab.picture() != first)
    config = yaml.safe_load((refine(tab, runs) / "job.yaml").read_text())
    assert (config["init"]["kind"], config["init"]["name"]) == ("style", name)
    tab.reaches("done")
    tab.click(MOSAIC_TILE)
    until("the painting", lambda: chosen(tab, "#paintings") == ["mosaic"])


def test_an_earlier_picture_opens_with_its_settings(earlier, tab):
    """Also the pictures of runs from the command line."""
    item = '#gallery .thumbnail-item:has(img[alt^="rocket"])'
    tab.has(item)
    tab.click(item)
    tab.reaches("done")
    tab.says("rocket", "3 steps")
    show_settings(tab)
    until("the size of the run", lambda: tab.value("#size") == 96)
    until("its pictures", lambda: chosen(tab, "#photographs") == ["rocket"] and chosen(tab, "#paintings") == ["mosaic"])
    assert captions(tab, "#paintings").count("✓ mosaic") == 1 and "mosaic" not in captions(tab, "#paintings")
    until("the steps of the run", lambda: tab.value("#steps") == 3)


def test_a_preset_moves_the_sliders(tab):
    show_more(tab)
    tab.has("#presets .thumbnail-item", 6)
    tab.click('#presets .thumbnail-item:has(img[alt="gentle"])')
    until("the style weight", lambda: tab.value("#style-weight") == 2)
    tab.click('#presets .thumbnail-item:has(img[alt="own colours"])')
    until("the colours", lambda: tab.one("#color input:checked").get_attribute("value") == "keep")
    assert tab.value("#style-weight") != 2


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_has_all_that_is_needed(earlier, tab, width, height):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    try:
        tab.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        tab.open(tab.driver.current_url)
        tab.has("#gallery .thumbnail-item")
        tab.has("#photographs img")
        assert tab.driver.execute_script("return innerWidth") == width
        time.sleep(0.5)
        assert tab.driver.execute_script("return document.documentElement.scrollWidth") <= width
        for part in (
            "#photo",
            "#photographs",
            "#painting",
            "#paintings",
            "#status",
            "#picture",
            "#strength",
            "#refine",
        ):
            place = tab.one(part).rect
            assert place["x"] >= 0 and place["x"] + place["width"] <= width, part
            assert place["y"] + place["height"] <= height, part
        for part in ("#photo", "#painting"):
            assert tab.one(part).rect["width"] > 60, part
        assert not tab.all("#steps input[type=number]")
        assert all(captions(tab, "#photographs") + captions(tab, "#paintings") + captions(tab, "#gallery"))
    finally:
        tab.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_comes_from_elsewhere(browser, address):
    browser.get("about:blank")
    time.sleep(1)  # requests that leaving the page has cut off are told
    tab = Tab(browser)
    tab.requested()
    browser.get_log("browser")
    tab.open(address)
    tab.has("#paintings .thumbnail-item")
    time.sleep(2)
    asked = {url for url in tab.requested() if not url.startswith(("data:", "blob:", "chrome", "about:"))}
    assert len(asked) > 5
    assert {url for url in asked if not url.startswith(address)} == set()
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def status_of(url, data=None, **headers):
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
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


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (MOST_BYTES + 1, 413)])
def test_what_is_too_large_is_not_taken(address, size, status):
    boundary = "x" * 20
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body = head.encode() + b"\0" * size + f"\r\n--{boundary}--\r\n".encode()
    content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert status_of(f"{address}/gradio_api/upload", body, **content_type) == status


def test_the_end_of_the_server_saves_the_run(tmp_path):
    with server(tmp_path) as address, chromium(tmp_path) as driver:
        tab = Tab(driver).open(address)
        prepare(tab, steps=300)
        run = start(tab, lambda: sorted(path.parent for path in (tmp_path / "output").glob("*/job.yaml")))
    assert (run / "checkpoint.npz").exists() and (run / "job.status").read_text() == "75\n"
    with server(tmp_path) as address, chromium(tmp_path) as driver:
        tab = Tab(driver).open(address)
        tab.click("#gallery .thumbnail-item")
        tab.reaches("stopped")
