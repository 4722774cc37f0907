"""What `trunkline serve` bears: latency at four fifths of its full rate, and a model swapped while 64 clients ask."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ROOT, Figure, Reference, Result, in_child, main, scratch
from benchmarks.jpeg_to_features import pictures
from benchmarks.server_load import MODEL

CLIENTS, PICTURES = 64, 48
ROUNDS, SECONDS = 5, 6.0
ANSWERS, SHORT = 100_000, 5_000
ASKED = 4.0
LABELS = ("crazing", "inclusion", "patches", "pitted", "rolled-in", "scratches")
_APART = 0.01
METHOD = (
    "`trunkline serve` as a process of its own, asked over loopback by raw clients in another process on the same "
    f"cores; each request is one NEU-DET JPEG as binary data. {ROUNDS} rounds of: one client alone ({SECONDS:g} s, the "
    f"reference is its median), {CLIENTS} clients that ask again as soon as they are answered (the full rate), the "
    f"same clients at 80 % and at 60 % of that rate, each at its own fixed times; latency runs from the time at "
    "which a request was due. The ratio is the median of the rounds' ratios. Swaps: the two versions of a model take "
    f"turns by the load request while {CLIENTS} clients ask at full rate; every answer names the digest of its bundle, "
    "and its scores must be, within 1e-4, those that `predict`'s own path gives with that bundle (the two differ by "
    f"over {_APART} everywhere). {ANSWERS:,} answers on the tiny trunk, where that takes a minute, and {SHORT:,} on "
    "the real one."
)


def run(quick: bool) -> Result:
    rounds, seconds, answers, short = (1, 0.6, 300, 60) if quick else (ROUNDS, SECONDS, ANSWERS, SHORT)
    with scratch() as folder:
        files = [str(path) for path in pictures(PICTURES, folder / "drawn", quick)]
        real = Home(folder / "real", "test-trunk" if quick else "efficientnet-lite0", files)
        with served(real.path) as address:
            rows = real.child("rates", address, clients=CLIENTS, rounds=rounds, seconds=seconds, warm=seconds / 3)
        with served(real.path) as address:
            on_real = real.swaps(address, short)
        tiny = Home(folder / "tiny", "test-trunk", files)
        with served(tiny.path) as address:
            on_tiny = tiny.swaps(address, answers)
    return Result(_figures(rows["rounds"], on_tiny, on_real), METHOD, (1, 2), {
        "rounds": rows["rounds"], "swaps_tiny_trunk": on_tiny, "swaps_real_trunk": on_real,
    })  # fmt: skip


def _figures(rounds: Sequence[dict[str, Any]], tiny: dict[str, Any], real: dict[str, Any]) -> list[Figure]:
    ratio = median(row["p99_ms"] / row["single_ms"] for row in rounds)
    failed = sum(row["failed"] for row in rounds)
    single = Reference("one image at a time, median", round(median(row["single_ms"] for row in rounds), 2), "ms")
    wrong = sum(row["failed"] + row["mixed"] for row in (tiny, real))
    return [
        Figure(
            f"p99 at 80 % of the full rate, {CLIENTS} clients", round(median(row["p99_ms"] for row in rounds), 2), "ms",
            f"< {ASKED:g} times one image alone, no error", ratio < ASKED and not failed, single, 1 / ratio,
        ),
        Figure(
            f"p99 at 60 % of the full rate, {CLIENTS} clients", round(median(row["p99_at_60_ms"] for row in rounds), 2),
            "ms", reference=single, ratio=1 / median(row["p99_at_60_ms"] / row["single_ms"] for row in rounds),
        ),
        Figure(f"full rate, {CLIENTS} clients", round(median(row["rate"] for row in rounds), 1), "images/s"),
        Figure(
            f"failed or mixed of {tiny['answers'] + real['answers']:,} answers while the model was swapped "
            f"{tiny['swaps'] + real['swaps']:,} times", wrong, "answers", "0", not wrong,
        ),
    ]  # fmt: skip


class Home:
    """A home with two versions of one model on a trunk, of random weights, and what both say of some pictures."""

    def __init__(self, path: Path, trunk: str, files: Sequence[str]) -> None:
        from trunkline.algorithms.trunks import resolve
        from trunkline.core.settings import Settings
        from trunkline.platform.registry.registry import Registry

        self.path, self._files = path, files
        self._settings = Settings(home=path)
        self._trunk = resolve(trunk, path)
        registry = Registry(self._settings)
        self.digests = []
        for seed, promote in ((1, "champion"), (2, None)):
            version = registry.register(bundle(self._trunk, path, seed), metrics={}, params={}, promote=promote)
            self.digests.append(version.digest)

    def child(self, work: str, address: str, **more: Any) -> dict[str, Any]:
        """Clients in a process of their own."""
        plan = self.path / f"{work}.json"
        plan.write_text(json.dumps({"address": address, "pictures": self._files, **more}))
        row = in_child(f"benchmarks.server_load:{work}", str(plan))
        return {key: value for key, value in row.items() if key != "max_rss_mb"}

    def swaps(self, address: str, answers: int) -> dict[str, Any]:
        """Swaps under load, checked against what both versions must say."""
        expected = {digest: self.expected(f"{MODEL}@{number}") for number, digest in enumerate(self.digests, 1)}
        first, second = expected.values()
        near = [max(abs(a - b) for a, b in zip(*both, strict=True)) for both in zip(first, second, strict=True)]
        assert min(near) > _APART, "the two versions say the same of a picture"
        return self.child(
            "swaps", address, clients=CLIENTS, seconds=600, answers=answers, every=0.05, expected=expected
        )

    def expected(self, ref: str) -> list[list[float]]:
        """Scores of every picture as `trunkline predict` gives them, in the order of the labels."""
        from trunkline.compute.sensors import SENSORS
        from trunkline.platform.registry.use import observe, predictors

        sensor = SENSORS.load("folder")
        readings = [
            one for file in self._files for one in sensor(Path(file), max_pixels=10**8, on_error=lambda *_: None)
        ]
        opened = predictors(ref, self._settings, warn=lambda _: None)
        found = [{one.label: one.score for one in seen.predictions} for _, seen in observe(opened, readings)]
        for predictor in opened:
            predictor.close()
        return [[scores[label] for label in LABELS] for scores in found]


def bundle(trunk: Any, home: Path, seed: int) -> bytes:
    """A sealed model of random weights."""
    import numpy as np
    from PIL import Image

    from trunkline.core.digest import digest_bytes
    from trunkline.core.types.gate import GateCheck, GateReport
    from trunkline.core.types.head import TrainedHead
    from trunkline.platform.registry import bundle as bundles
    from trunkline.platform.registry.keys import signing_key

    rng = np.random.default_rng(seed)
    head = TrainedHead(
        "classify", LABELS, trunk.card.digest,
        {"weight": rng.standard_normal((trunk.card.width, 6), np.float32), "bias": np.zeros(6, np.float32)},
        {"channels": [tap.channels for tap in trunk.card.taps]}, dict.fromkeys(LABELS, 0.5),
        dict.fromkeys(LABELS, (0.0, 0.5)), {"temperature": 1.0},
    )  # fmt: skip
    nothing = digest_bytes(b"")
    packed = bundles.candidate(head, name=MODEL, trunk=trunk.card, scenario=nothing, dataset=nothing)
    check = GateCheck("accuracy", 1.0, 1.0, 1.0, ">= 0", "passed", "ok", "", False)
    report = GateReport(bundles.open_candidate(packed).digest(), nothing, (check,), {"accuracy": 1.0}, {})
    preview = io.BytesIO()
    Image.new("RGB", (1, 1)).save(preview, "PNG")
    return bundles.seal(
        packed, key=signing_key(home), report=report, test_images=1, preview=preview.getvalue(), report_json={}
    )


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The address of a server, which is told to end afterwards and must end well."""
    command = [sys.executable, "-m", "trunkline.cli", "serve", "--home", str(home), "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            line = server.stdout.readline()
            if not line:
                raise SystemExit(f"benchmarks: the server did not start: {server.stderr and server.stderr.read()}")
            yield json.loads(line)["address"]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    if server.returncode:
        raise SystemExit(f"benchmarks: the server ended with status {server.returncode}")


if __name__ == "__main__":
    main(run)
