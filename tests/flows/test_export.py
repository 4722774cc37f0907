"""`trunkline models export`, and the page that it makes in a real browser: the engine's answers, no request away."""

from __future__ import annotations

import functools
import http.server
import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.conftest import Pictures
from tests.flows.conftest import Trunkline
from tests.flows.test_report_browser import ARGUMENTS, DESK, PHONE
from trunkline.core.errors import InputError
from trunkline.platform.export import vendor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
SCORES = "rows => rows.map(row => [row.ariaLabel, row.value])"
TASKS = {"classify": ("a", "b", "c"), "multilabel": ("a", "b", "c"), "anomaly": ("good", "bad")}
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def camera_browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Debian's chromium is not installed (packages.apt)")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, *CAMERA])
        yield running
        running.close()


@pytest.fixture(scope="session")
def onnxruntime_web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX Runtime Web as npm brings it, once a run."""
    home = tmp_path_factory.mktemp("npm")
    try:
        vendor.onnxruntime_web(home, brought=None, say=lambda _: None)
    except InputError as error:
        pytest.skip(f"ONNX Runtime Web cannot be had: {error.message}")
    return next((home / "web").glob("*.tgz"))


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder on this machine; gives its address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing: a test's output is for failures."""

    def start(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Opened:
    """A page that has loaded its model.

    Attributes:
        page: The page.
        away: Requests for anything but its own folder.
        noise: What it said on the console.
    """

    def __init__(self, browser: Browser, address: str, size: tuple[int, int] = DESK) -> None:
        self.page: Page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        self.away: list[str] = []
        self.noise: list[str] = []
        own = address.removesuffix("index.html")
        inside = (own, "blob:null/" if own.startswith("file:") else f"blob:{own}")
        self.page.on("request", lambda one: None if one.url.startswith(inside) else self.away.append(one.url))
        self.page.on("websocket", lambda one: self.away.append(one.url))
        self.page.on("console", lambda message: self.noise.append(message.text))
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        self.page.goto(address)
        self.settle()

    def settle(self) -> None:
        self.page.locator("#result[aria-busy=false]").wait_for(timeout=60_000)

    def ask(self, picture: Path) -> dict[str, float]:
        """Scores by label."""
        self.page.set_input_files("#file", picture)
        self.settle()
        return self.scores()

    def scores(self) -> dict[str, float]:
        return dict(self.page.locator("#scores progress").evaluate_all(SCORES))

    @property
    def taken(self) -> list[str]:
        return sorted(self.page.locator("#scores li.taken .name").all_inner_texts())

    @property
    def unsure(self) -> bool:
        return self.page.locator("#unsure").is_visible()


@pytest.fixture
def open_page(camera_browser: Browser) -> Iterator[Callable[..., Opened]]:
    pages: list[Opened] = []

    def start(address: str, size: tuple[int, int] = DESK) -> Opened:
        pages.append(Opened(camera_browser, address, size))
        return pages[-1]

    yield start
    for one in pages:
        one.page.close()


Export = Callable[[str], Path]


@pytest.fixture
def exported(
    trunkline: Trunkline, write: Callable[..., Path], pictures: Pictures, tmp_path: Path, onnxruntime_web: Path
) -> Export:
    """Builds a model of a task on stripes and exports it as a page."""

    def make(task: str) -> Path:
        data = pictures.folder(tmp_path / "data", TASKS[task], 12)
        # Much is unsure, so that pages have something to say of it.
        point = "operating_point: {false_reject_rate: 0.4}" if task == "classify" else ""
        built = trunkline("build", write("stripes", data, task=task, extra=point))
        assert built.status == 0, built.err
        ran = trunkline(
            "models", "export", "stripes", "--to", "web", "--onnxruntime-web", onnxruntime_web, "--out",
            tmp_path / "page",
        )  # fmt: skip
        assert ran.status == 0, ran.err
        assert "python -m http.server -d" in ran.out
        return tmp_path / "page"

    return make


def photos(folder: Path) -> list[Path]:
    """Pictures of many sizes and formats: small, odd, wide, large, grey, transparent, turned by EXIF, linear."""
    folder.mkdir(exist_ok=True)
    sizes = [(1, 1), (48, 48), (301, 7), (416, 416), (1000, 641), (1600, 1201)]
    paths = []
    for number, size in enumerate(sizes):
        for form in ("png", "jpeg"):
            path = folder / f"{number}.{form}"
            path.write_bytes(Pictures().encode(number, kind=number % 4, size=size, form=form.upper()))
            paths.append(path)
    image = Image.fromarray(Pictures.array(7, kind=1, size=(90, 60)))
    turned = image.getexif()
    turned[0x0112] = 6
    image.save(folder / "turned.jpg", exif=turned, quality=95)
    image.convert("L").save(folder / "grey.png")
    image.save(folder / "web.webp", lossless=True)
    clear = np.dstack([np.asarray(image), np.where(np.arange(90) < 45, 0, 255)[None].repeat(60, 0)]).astype(np.uint8)
    Image.fromarray(clear).save(folder / "clear.png")
    linear = PngInfo()
    linear.add(b"gAMA", struct.pack(">I", 100_000))
    image.save(folder / "linear.png", pnginfo=linear)
    return [*paths, *(folder / name for name in ("turned.jpg", "grey.png", "web.webp", "clear.png", "linear.png"))]


def expected(trunkline: Trunkline, paths: list[Path]) -> dict[str, dict[str, Any]]:
    ran = trunkline("predict", "stripes", "--json", *paths)
    assert ran.status == 0, ran.err
    return {row["source"]: row for row in ran.rows}


def check_answers(page: Opened, paths: list[Path], rows: dict[str, dict[str, Any]]) -> None:
    differ = {}
    for path in paths:
        want = {one["label"]: one["score"] for one in rows[str(path)]["predictions"]}
        got = page.ask(path)
        furthest = max(abs(got[label] - score) for label, score in want.items())
        said = (page.taken, page.unsure)
        if furthest > TOLERANCE or said != (sorted(rows[str(path)]["accepted"]), rows[str(path)]["unsure"]):
            differ[path.name] = (furthest, said, rows[str(path)])
    assert differ == {}


@pytest.mark.apt("chromium")
@pytest.mark.parametrize("task", TASKS)
def test_a_page_answers_as_the_engine_and_asks_nobody_else(
    task: str, exported: Export, trunkline: Trunkline, serve: Callable[[Path], str],
    open_page: Callable[..., Opened], tmp_path: Path,
) -> None:  # fmt: skip
    folder = exported(task)
    paths = photos(tmp_path / "photos")
    rows = expected(trunkline, paths)
    assert task != "classify" or {row["unsure"] for row in rows.values()} == {True, False}
    page = open_page(serve(folder))
    check_answers(page, paths, rows)
    assert (page.away, page.noise) == ([], [])


@pytest.mark.apt("chromium")
def test_a_page_answers_on_real_pictures(
    exported: Export, trunkline: Trunkline, serve: Callable[[Path], str], open_page: Callable[..., Opened],
    neu_det: Path,
) -> None:  # fmt: skip
    paths = sorted((neu_det / "images").iterdir())[::90]
    page = open_page(serve(exported("classify")))
    check_answers(page, paths, expected(trunkline, paths))


@pytest.mark.apt("chromium")
def test_a_page_also_opens_from_a_file(
    exported: Export, trunkline: Trunkline, open_page: Callable[..., Opened], tmp_path: Path
) -> None:
    folder = exported("classify")
    paths = photos(tmp_path / "photos")[:4]
    page = open_page((folder / "index.html").as_uri())
    check_answers(page, paths, expected(trunkline, paths))
    assert (page.away, page.noise) == ([], [])


@pytest.mark.apt("chromium")
def test_a_page_by_hand(
    exported: Export, trunkline: Trunkline, serve: Callable[[Path], str], open_page: Callable[..., Opened],
    tmp_path: Path,
) -> None:  # fmt: skip
    """What is no picture, the camera, a picture that is dropped; on a phone."""
    address = serve(exported("classify"))
    opened = open_page(address, PHONE)
    page = opened.page
    assert page.inner_text("#answer") == "Choose a picture"

    (tmp_path / "text.png").write_text("no picture")
    assert opened.ask(tmp_path / "text.png") == {}
    assert page.inner_text("#answer") == "text.png is no picture that this browser can read"

    page.click("#camera")
    page.locator("#scores li").first.wait_for(timeout=60_000)
    assert page.get_attribute("#picture", "aria-label") == "Camera"
    assert set(opened.scores()) == {"a", "b", "c"}
    page.evaluate("self.tracks = camera.stream.getTracks()")
    page.click("#camera")
    opened.settle()
    assert page.inner_text("#camera") == "Use the camera"
    assert page.evaluate("tracks.map(track => track.readyState)") == ["ended"]

    picture = Pictures().encode(1, kind=1)
    (tmp_path / "dropped.png").write_bytes(picture)
    row = expected(trunkline, [tmp_path / "dropped.png"])[str(tmp_path / "dropped.png")]
    page.evaluate(
        """bytes => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], "dropped.png", { type: "image/png" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        list(picture),
    )
    opened.settle()
    got, want = opened.scores(), {one["label"]: one["score"] for one in row["predictions"]}
    assert got == {label: pytest.approx(score, abs=TOLERANCE) for label, score in want.items()}
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    unnamed = page.locator("button, input, canvas, progress").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.labels?.length || e.innerText)).map(e => e.outerHTML)"
    )
    assert (unnamed, opened.away, opened.noise) == ([], [], [])


@pytest.mark.apt("chromium")
def test_a_page_may_ask_nobody_else(
    exported: Export, serve: Callable[[Path], str], open_page: Callable[..., Opened], tmp_path: Path
) -> None:
    """Whatever its script is made to do: an answer of another server never comes, though that would give it."""
    address, other = serve(exported("classify")), serve(tmp_path)
    ask = "url => fetch(url, { mode: 'no-cors' }).then(() => 'answered', () => 'refused')"
    page = open_page(address).page
    assert (page.evaluate(ask, address), page.evaluate(ask, other)) == ("answered", "refused")


@pytest.mark.apt("chromium")
def test_a_page_whose_model_is_gone_says_so(
    exported: Export, serve: Callable[[Path], str], open_page: Callable[..., Opened]
) -> None:
    folder = exported("classify")
    (folder / "model.onnx").unlink()
    page = open_page(serve(folder)).page
    assert page.inner_text("#answer").startswith("The model could not be loaded: model.onnx: 404")
    assert page.is_disabled("#camera")


def test_export_prints_what_it_made(
    trunkline: Trunkline, write: Callable[..., Path], pictures: Pictures, tmp_path: Path, home: Path
) -> None:
    data = pictures.folder(tmp_path / "data", ("a", "b"), 12)
    assert trunkline("build", write("stripes", data)).status == 0
    ran = trunkline("models", "export", "stripes", "--to", "onnx", "--json")
    assert (ran.status, ran.err) == (0, "")
    folder = home / "exports" / "stripes-1-onnx"
    assert (ran.row["folder"], sorted(path.name for path in folder.iterdir())) == (
        str(folder), ["export.json", "model.onnx"],
    )  # fmt: skip
    ran = trunkline("models", "export", "stripes@1", "--to", "openvino")
    assert ran.status == 0
    assert ran.out.splitlines()[0].startswith(f"{home / 'exports' / 'stripes-1-openvino'}: 2 files, ")
    assert "openvino: 11 pictures answered as by the engine, scores within " in ran.out
    (folder / "mine").write_text("mine")
    ran = trunkline("models", "export", "stripes", "--to", "onnx")
    assert (ran.status, "this one holds 'mine'" in ran.err, ran.out) == (2, True, "")
    ran = trunkline("models", "export", "stripes", "--to", "pickle")
    assert (ran.status, "known export format names: onnx, openvino, web" in ran.err) == (2, True)
