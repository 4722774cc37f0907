"""Large pictures are decoded one after the other where both together would take too much memory."""

from __future__ import annotations

import threading

from trunkline.service.room import Pixels


def test_large_pictures_wait_for_each_other_and_small_ones_for_nobody() -> None:
    pixels, second = Pixels(10_000_000), threading.Event()

    def decode() -> None:
        with pixels.of(8_000_000):
            second.set()

    with pixels.of(8_000_000):
        thread = threading.Thread(target=decode)
        thread.start()
        with pixels.of(1_000_000):
            assert not second.wait(0.1)
    assert second.wait(10)
    thread.join()
    with pixels.of(99_000_000):  # more than all: alone
        pass
