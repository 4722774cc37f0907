"""`trunkline serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli import complete
from trunkline.cli.common import HomeOption, JsonOption, complain, emit, name_or_path, settings

if TYPE_CHECKING:
    from trunkline.service.running import Started


def _names(given: list[str] | None) -> list[str]:
    return [name_or_path(one) for one in given or ()]


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Bundle files, or NAME[@VERSION|@ALIAS]; NAME may hold * and ?.",
            callback=_names,
            autocompletion=complete.models,
            show_default="all champions",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than this machine's own reach any other.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port; 0 takes any free one.")] = 8080,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Swap models when their champion or alias moves.")
    ] = True,
    json: JsonOption = False,
    home: HomeOption = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all")] = None,
) -> None:
    """Serve models over HTTP by the Open Inference Protocol (KServe v2).

    A model that cannot be loaded is named on standard error, the others are served. SIGTERM or Ctrl-C: requests under
    way are answered, then the server ends with status 0; a second one ends it at once.

    Examples:

    `trunkline serve`

    `trunkline serve 'steel*@champion' --port 0 --json`
    """
    from trunkline.core.text import printable
    from trunkline.service.guard import is_loopback
    from trunkline.service.server import serve as run

    def started(up: Started) -> None:
        if json:
            emit({"address": up.address, "models": up.models, "trunks": up.trunks, "failed": up.failed})
        counts = f"{up.models} model{'s' * (up.models != 1)} on {up.trunks} trunk{'s' * (up.trunks != 1)}"
        not_loaded = f", {len(up.failed)} not loaded" if up.failed else ""
        complain(f"serving {counts} at {up.address}{not_loaded} (Ctrl-C ends)")

    if not is_loopback(host):
        complain(f"{printable(host)}: whoever reaches this address may ask, load and unload; there is no sign-in yet")
    chosen = settings(home, threads=threads)
    run(chosen, models or (), host=host, port=port, follow=follow, say=_say, started=started)


def _say(sentence: str) -> None:
    from trunkline.core.text import printable

    complain("\n".join(printable(line) for line in sentence.split("\n")))
