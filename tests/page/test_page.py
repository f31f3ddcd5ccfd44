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
        tab.has("#photo img")
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


def prepare(tab, steps, size=128):
    """A photograph of our own, a painting of the project, a small picture."""
    tab.send("#photo", PHOTO)
    until("the upload", lambda: "photo-" in tab.one("#photo img").get_attribute("src"))
    if not tab.all('#paintings img[alt^="✓"]'):
        tab.click("#paintings .thumbnail-item", 0)
    tab.has('#paintings img[alt^="✓"]')
    show_all_settings(tab)
    set_all(tab, {"#size": size, "#steps": steps})
    until("the estimate", lambda: "memory" in tab.one("#estimate").text)


def show_all_settings(tab):
    if not tab.all("#steps input[type=number]"):
        tab.click("#more button")
        tab.has("#steps input[type=number]")


def set_all(tab, values):
    for selector, value in values.items():
        tab.set(selector, value)
    until(f"the settings {values}", lambda: all(tab.value(selector) == value for selector, value in values.items()))
    time.sleep(3)  # the page sends a value a moment after it is typed, later on a busy machine


def start(tab, runs):
    """Start a run, which makes steps then; its folder."""
    before = runs()
    tab.click("#start")
    until("another run", lambda: len(runs()) > len(before))
    tab.reaches("running")
    tab.says("left")
    return runs()[-1]


def test_an_upload_becomes_a_picture_that_is_watched_and_saved(tab, folder, runs):
    prepare(tab, steps=60)
    assert {path.name[:6] for path in (folder / "output" / "uploads").iterdir()} == {"photo-"}
    run = start(tab, runs)
    first = tab.picture()
    tab.says("of 120")
    until("a newer picture", lambda: tab.picture() != first)
    tab.has("#curve svg")
    until("the legend", lambda: {"total", "content", "style", "tv"} <= set(tab.one("#curve svg").text.split()))
    below = [tab.one(part).rect for part in ("#curve", "#curve svg")]
    assert below[1]["y"] + below[1]["height"] <= below[0]["y"] + below[0]["height"]  # the legend is not cut off
    tab.reaches("done")
    assert (run / "image.png").is_file() and "120 steps" in tab.said

    with Image.open(run / "image.png") as image:
        assert max(image.size) == 128
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["content"]["image"].startswith("output/uploads/photo-")
    assert (config["size"], config["stop"]["max_iterations"]) == (128, 60)

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
        until("the size of the run", lambda: other.value("#size") == 192)
        other.has('#paintings img[alt^="✓"]')
        other.has("#picture img")
        other.click("#start")
        other.reaches("waiting")
        other.says("number 1 in line")
        tab.show()
        until("the line", lambda: "In line:" in tab.one("#line").text)
        browser.refresh()
        tab.reaches("running")
        tab.has("#picture img")
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
    count = len(list(folder.glob("output/uploads/*")))
    (folder / "broken.jpg").write_bytes(content)
    tab.send(place, folder / "broken.jpg")
    said = until("a message", lambda: tab.one(TOAST).text)
    assert "the file" in said and "Traceback" not in said and str(folder) not in said
    assert len(list(folder.glob("output/uploads/*"))) == count


@BROKEN
def test_a_broken_photograph_is_told_in_a_line(tab, folder, content):
    send_broken(tab, folder, "#photo", content)
    tab.click("#start")
    until("a message", lambda: any("choose a photograph" in toast.text for toast in tab.all(TOAST)))


@BROKEN
def test_a_broken_painting_is_told_in_a_line(tab, folder, content):
    tab.has("#paintings .thumbnail-item")
    offered = len(tab.all("#paintings .thumbnail-item"))
    send_broken(tab, folder, "#painting", content)
    time.sleep(1)
    assert len(tab.all("#paintings .thumbnail-item")) == offered


def test_a_painting_of_ones_own_is_chosen(tab, folder):
    tab.has("#paintings .thumbnail-item")
    count = len(tab.all("#paintings .thumbnail-item"))
    path = folder / "own.png"
    Image.effect_mandelbrot((64, 48), (-3, -2.5, 2, 2.5), 100).convert("RGB").save(path)  # which no run has
    tab.send("#painting", path)
    until("another painting", lambda: len(tab.all("#paintings .thumbnail-item")) == count + 1)
    assert len(tab.all('#paintings img[alt^="✓ painting-"]')) == 1


def test_an_earlier_picture_opens_with_its_settings(earlier, tab):
    """Also the pictures of runs from the command line."""
    item = '#gallery .thumbnail-item:has(img[alt^="rocket"])'
    tab.has(item)
    tab.click(item)
    tab.reaches("done")
    tab.says("rocket", "3 steps")
    until("the size of the run", lambda: tab.value("#size") == 96)
    tab.has('#paintings img[alt^="✓ mosaic"]')
    tab.has("#photo img")
    show_all_settings(tab)
    until("the steps of the run", lambda: tab.value("#steps") == 3)


def test_a_preset_moves_the_sliders(tab):
    tab.has("#presets .thumbnail-item", 6)
    tab.click('#presets .thumbnail-item:has(img[alt="gentle"])')
    until("the style weight", lambda: tab.value("#style-weight") == 5)
    tab.click('#presets .thumbnail-item:has(img[alt="own colours"])')
    until("the colours", lambda: tab.one("#color input:checked").get_attribute("value") == "keep")
    assert tab.value("#style-weight") != 5


@pytest.mark.skipif(not style_file.names(), reason="no style is bundled")
def test_an_instant_picture_and_runs_that_start_from_it(tab, runs):
    def made_by(selector):
        """The config of the run that a click makes."""
        count = len(runs())
        tab.click(selector)
        until("another run", lambda: len(runs()) > count)
        until("its picture", lambda: (runs()[-1] / "image.png").exists())
        return yaml.safe_load((runs()[-1] / "config.yaml").read_text())

    prepare(tab, steps=10)
    name = style_file.names()[0]
    config = made_by(f'#instant .thumbnail-item:has(img[alt="Instant: {name.capitalize()}"])')
    assert (config["init"]["name"], config["size"], config["stop"]["max_iterations"]) == (name, 128, 0)
    tab.reaches("done")
    tab.says("no steps", "Go on")
    assert tab.picture()

    config = made_by("#go-on")
    assert (config["init"]["kind"], config["stop"]["max_iterations"]) == ("image", 10)

    tab.click(f'#start-from input[value="{name}"]')
    until("the choice", lambda: tab.one("#start-from input:checked").get_attribute("value") == name)
    time.sleep(1)
    config = made_by("#start")
    assert (config["init"]["name"], config["stop"]["max_iterations"]) == (name, 10)


@pytest.mark.skipif(bool(style_file.names()), reason="styles are bundled")
def test_without_bundled_styles_nothing_is_offered_for_them(tab):
    tab.has("#presets .thumbnail-item", 6)
    assert not any(part.is_displayed() for part in tab.all("#instant, #start-from"))


def test_on_a_telephone_nothing_is_cut_off(earlier, tab):
    try:
        for width in (390, 1280):
            size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
            tab.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            tab.open(tab.driver.current_url)
            tab.has("#gallery .thumbnail-item")
            tab.has("#photo-samples img")
            assert tab.driver.execute_script("return innerWidth") == width
            time.sleep(0.5)
            assert tab.driver.execute_script("return document.documentElement.scrollWidth") <= width
            for part in ("#start", "#paintings", "#photo-samples", "#presets", "#color", "#actions", "#status"):
                place = tab.one(part).rect
                assert place["x"] >= 0 and place["x"] + place["width"] <= width, part
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
