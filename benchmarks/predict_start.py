"""CPU seconds of `trunkline predict` on one image, start to end, against the bare runtime on the same graph."""

from __future__ import annotations

from statistics import median

from benchmarks import line
from benchmarks.common import Figure, Reference, Result, draw, lay_out, main, neu_classes, scratch
from benchmarks.startup import cpu_seconds

LIMIT = 2.5
RUNS, IMAGES = 9, 20
PREDICT = """
import sys
sys.argv = ['trunkline', 'predict', 'steel', {image!r}, '--home', {home!r}]
from trunkline.cli import main
main()
"""
BARE = """
import sys
sys.modules['openvino_telemetry'] = None
import numpy, openvino
from PIL import Image
picture = Image.open({image!r}).convert('RGB').resize(({side}, {side}), Image.Resampling.BILINEAR)
graph = openvino.Core().compile_model({graph!r}, 'CPU')
graph(numpy.asarray(picture)[None])
"""
"""The least that a program can do: read the picture, load the library and the graph, run it once."""


def run(quick: bool) -> Result:
    """Both programs in turn, in processes of their own, after a run of each that reads the files."""
    from trunkline.algorithms.trunks import resolve
    from trunkline.core.settings import Settings
    from trunkline.platform.line.runner import run_line

    name, runs = line.trunk(quick), 2 if quick else RUNS
    with scratch() as folder:
        classes = line.drawn(folder / "drawn", ("a", "b"), 8) if quick else draw(neu_classes(), [IMAGES], 0)[0]
        data, home = lay_out(folder / "data", classes), folder / "home"
        (built,) = run_line([line.scenario("steel", data, trunk=name)], Settings(home=home)).results
        trunk = resolve(name, home)
        image = next(iter(classes.values()))[0]
        words = {"image": str(image), "home": str(home), "graph": str(trunk.path()), "side": trunk.card.size}
        programs = {"predict": PREDICT.format(**words), "bare": BARE.format(**words)}
        seconds: dict[str, list[float]] = {what: [] for what in programs}
        for code in programs.values():
            cpu_seconds(code)
        for _ in range(runs):
            for what, code in programs.items():
                seconds[what].append(cpu_seconds(code))
    value, bare = median(seconds["predict"]), median(seconds["bare"])
    reference = Reference("a program that runs the graph on the image once, and no more", round(bare, 2), "s CPU")
    return Result(
        [
            Figure(
                "trunkline predict on one image", round(value, 2), "s CPU", f"< {LIMIT} s CPU", value < LIMIT,
                reference, bare / value,
            )
        ],
        f"median of {runs} processes each, in turn; user and system CPU seconds of the process, all threads, with the "
        f"interpreter's own start; bytecode compiled, files in memory; the model ({built.bundle_bytes / 1024:.0f} KB) "
        f"is of {len(classes)} classes",
        (0,),
        {"spread": {what: [round(min(values), 3), round(max(values), 3)] for what, values in seconds.items()}},
    )  # fmt: skip


if __name__ == "__main__":
    main(run)
