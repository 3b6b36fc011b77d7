"""The player in a real browser."""

import shutil

import numpy as np
import pytest

import dynsim
from dynsim.plots import view
from dynsim.trajectory import Trajectory, TrajectoryWriter
from dynsim.trajectory._stored_system import describe_system

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (extra test)")
wait_module = pytest.importorskip("selenium.webdriver.support.wait")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
PATIENCE = 600.0  # seconds; only a page that hangs lets them pass
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1200,800"
).split()
# The share of the canvas that is drawn on, read in the same task in which it was drawn.
INKED = """
player.draw();
const canvas = document.getElementById("neurons");
const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
const context = copy.getContext("2d");
context.drawImage(canvas, 0, 0);
const data = context.getImageData(0, 0, copy.width, copy.height).data;
let inked = 0;
for (let i = 3; i < data.length; i += 4) inked += data[i] > 200;
return inked;
"""
SEEN = """
const [at, p] = arguments, canvas = document.getElementById("neurons");
const { clientWidth: width, clientHeight: height } = canvas;
const seen = project(player.camera.matrix(width / height), player.recording.world(at, p), width, height);
return [seen.x, seen.y];
"""


def start(folder, *flags):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Three layers that turn in space, with signals; the third has a name that tries to be markup."""
    folder = tmp_path_factory.mktemp("page")
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    names = ["input", "hidden", "<b onclick=alert(1)>out</b>"]
    turn = dynsim.Operators(F=[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    turning = dynsim.System(np.zeros((30, 3)), operators=turn, groups=np.arange(30) // 10)
    with TrajectoryWriter(folder / "run.h5", neurons=30, dimension=3, signals=1, groups=np.arange(30) // 10,
                          parameters={"group_names": names}, provenance={"system": describe_system(turning)},
                          ) as writer:  # fmt: skip
        for k in range(61):
            t = 0.1 * k
            q = np.column_stack([np.cos(angle + t), np.sin(angle + t), np.arange(30) // 10])
            writer.write(k, t, q, np.sin(angle + t), np.tanh(np.cos(angle + t)))
    view(folder / "run.h5", folder / "run.html")
    return folder / "run.html"


def wait(driver, condition, *arguments):
    """Wait until a condition holds in the page, written in JavaScript."""
    wait_for = wait_module.WebDriverWait(driver, PATIENCE)
    wait_for.until(lambda _: driver.execute_script(f"return Boolean({condition})", *arguments), condition)


def texts(driver, selector):
    """Read the texts of all elements at once: the page may replace them at its next frame."""
    read = "return [...document.querySelectorAll(arguments[0])].map((element) => element.innerText.trim())"
    return driver.execute_script(read, selector)


def load(driver, page):
    driver.get_log("browser")
    driver.get(page.as_uri())
    wait(driver, "window.player")
    return driver.execute_script


def errors(driver):
    return [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def press(driver, key):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(key).perform()


def test_it_loads_and_draws(browser, page):
    run = load(browser, page)
    assert run("return player.drawing.name") == "WebGL"
    assert run(INKED) > 30 * 15  # thirty discs of five points across or more, some behind others
    assert run("return document.title") == "dynsim: run.h5"
    assert "30 neurons, 3 dimensions, 61 frames" in browser.find_element("id", "facts").text
    assert errors(browser) == []


def test_it_says_that_a_run_was_interrupted(browser, page, tmp_path):
    run = load(browser, page)
    assert not browser.find_element("id", "ended").is_displayed()
    with TrajectoryWriter(tmp_path / "run.h5", neurons=2, dimension=2) as writer:
        writer.write(0, 0.5, np.eye(2))
        writer.record("outcome", {})
    view(tmp_path / "run.h5", tmp_path / "run.html")
    load(browser, tmp_path / "run.html")
    assert browser.find_element("id", "ended").text == "Interrupted, or still running: time 0.5."
    assert run("return document.getElementById('ended').getAttribute('role')") == "status"


def test_the_slider_moves_the_neurons(browser, page):
    run = load(browser, page)
    before, picture = run(SEEN, 0, 7), run("player.draw(); return document.getElementById('neurons').toDataURL()")
    run("const scrub = document.getElementById('scrub'); scrub.value = 30; scrub.dispatchEvent(new Event('input'));")
    assert run("return player.at") == 30
    after = run(SEEN, 30, 7)
    assert np.hypot(after[0] - before[0], after[1] - before[1]) > 20
    assert run("player.draw(); return document.getElementById('neurons').toDataURL()") != picture
    assert browser.find_element("id", "clock").text == "time 3, frame 30"


def test_a_click_picks_the_neuron_under_it(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains

    run = load(browser, page)
    run("player.go(20)")
    x, y = run(SEEN, 20, 13)
    stage = browser.find_element("id", "neurons")
    size = stage.size
    move = ActionChains(browser).move_to_element_with_offset(stage, x - size["width"] / 2, y - size["height"] / 2)
    move.click().perform()
    picked = run("return player.picked")
    # Of several under the pointer the one in front is picked: it must be one within reach of 18 points.
    assert np.hypot(*np.subtract(run(SEEN, 20, picked), (x, y))) < 18
    run("player.pick(13); player.draw()")
    rows = dict(row.rsplit(maxsplit=1) for row in texts(browser, "#rows tr"))
    with Trajectory(page.with_suffix(".h5")) as read:
        expected = {"received R": read.R[20, 13, 0], "emitted E": read.E[20, 13, 0], "q0": read.q[20, 13, 0]}
    for name, value in expected.items():
        # Four digits are shown, of numbers below 2 that were rounded to 2 / 65534.
        assert float(rows[name]) == pytest.approx(value, abs=6e-5 + 2 / 65534)
    assert rows["neuron"] == "13" and rows["layer"] == "hidden"
    assert float(rows["speed |q'|"]) == pytest.approx(1.0, abs=1e-4)  # on a circle of radius 1, a radian in a time
    assert browser.find_element("id", "chart").is_displayed()
    press(browser, "\ue00c")  # Escape
    assert run("return player.picked") is None


def test_play_advances_and_keys_work(browser, page):
    run = load(browser, page)
    browser.find_element("id", "play").click()
    wait(browser, "player.at > 1 && player.drawn > 3")
    assert browser.find_element("id", "play").text == "Pause"
    browser.find_element("id", "neurons").click()
    press(browser, " ")
    assert not run("return player.playing") and browser.find_element("id", "play").text == "Play"
    press(browser, "\ue010")  # End
    assert run("return player.at") == 60
    press(browser, "\ue012")  # left
    assert run("return player.at") == 59
    turn = run("return player.camera.turn")
    press(browser, "d")
    assert run("return player.camera.turn") != turn
    press(browser, "r")
    assert run("return player.camera.turn") == turn
    colour = run("return player.colouring.name")
    press(browser, "c")
    assert run("return player.colouring.name") != colour
    press(browser, "?")
    assert browser.find_element("id", "keys").is_displayed()
    assert errors(browser) == []


def test_colours_and_their_legend(browser, page):
    run = load(browser, page)
    run("player.colour('layer')")
    assert texts(browser, ".swatches li") == ["input", "hidden", "<b onclick=alert(1)>out</b>"]
    for name in ("speed", "activation"):
        run("player.colour(arguments[0])", name)
        assert len(texts(browser, ".ends span")) == 2 and run(INKED) > 0
    assert errors(browser) == []


def test_time_passes_evenly_whatever_the_times_of_the_frames(browser, tmp_path):
    times = [0.0, 0.1, 0.1, 0.4, 4.0]
    epochs = {"time_label": "epoch"}
    with TrajectoryWriter(tmp_path / "run.h5", neurons=2, dimension=2, parameters=epochs) as writer:
        for k, time in enumerate(times):
            writer.write(k, time, np.full((2, 2), time))
    view(tmp_path / "run.h5", tmp_path / "run.html")
    run = load(browser, tmp_path / "run.html")
    later = "return player.recording.timeAt(player.recording.later(arguments[0], arguments[1]))"
    for at, passed, expected in ((0, 0.05, 0.05), (0.5, 0.2, 0.25), (1, 0.15, 0.25), (3.5, 0.4, 2.6), (3, 9.0, 4.0)):
        assert run(later, at, passed) == pytest.approx(expected, abs=1e-12)
    # A training has no signals: its chart shows the displacement, and nothing is missing on the page.
    run("player.pick(0); player.draw();")
    assert "displacement per epoch" in texts(browser, "#rows th")
    assert errors(browser) == []


def test_signed_values_are_coloured_around_zero(browser, page):
    run = load(browser, page)
    low, high = run("player.colour('activation'); return [player.colouring.low, player.colouring.high]")
    assert low == -high < 0
    assert run("return player.colouring.colours[0]") == "#053061"


def test_controls_have_names(browser, page):
    run = load(browser, page)
    nameless = run("""
    return [...document.querySelectorAll("button, input, select, canvas:not([aria-hidden])")].filter((control) =>
      !(control.getAttribute("aria-label") || control.textContent.trim() || control.labels?.length)).length""")
    assert nameless == 0


def test_a_narrow_window_and_the_dark(browser, page):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "features": [{"name": "prefers-color-scheme", "value": "dark"}]})  # fmt: skip
    browser.set_window_size(420, 900)
    try:
        run = load(browser, page)
        ground = run("return getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in ground[4:-1].split(",")) < 40
        assert run("return document.documentElement.scrollWidth <= innerWidth") and run(INKED) > 0
    finally:
        browser.set_window_size(1200, 800)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_without_webgl_it_draws_too(page, tmp_path):
    driver = start(tmp_path / "profile", "--disable-3d-apis")
    try:
        run = load(driver, page)
        assert run("return player.drawing.name") == "canvas" and run(INKED) > 30 * 15
        assert "without WebGL" in driver.find_element("id", "trouble").text
        run("player.go(30); player.pick(3); player.draw()")
        assert errors(driver) == []
    finally:
        driver.quit()
