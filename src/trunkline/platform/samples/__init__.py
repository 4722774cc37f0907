"""Real images for `trunkline demo`, from packages that carry them, and the scenarios that are cut from them."""

from trunkline.core.plugins import Table
from trunkline.platform.samples.base import Collected, SampleSet
from trunkline.platform.samples.collect import collect_all, scenarios

SAMPLES = Table(
    "sample",
    {
        "digits": "trunkline.platform.samples.digits:Digits",
        "fashion-mnist": "trunkline.platform.samples.fashion:FashionMnist",
        "lfw-faces": "trunkline.platform.samples.faces:LfwFaces",
        "textures": "trunkline.platform.samples.textures:Textures",
    },
)
"""Sources of real images by name; other packages add theirs through the entry-point group `trunkline.samples`."""

__all__ = ["SAMPLES", "Collected", "SampleSet", "collect_all", "scenarios"]
