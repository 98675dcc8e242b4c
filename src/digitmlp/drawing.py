"""The style of the figures, and the parts that several of them are made of."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axis import YAxis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from digitmlp.digits import SIDE

# Okabe and Ito's blue and vermilion, which differ for every kind of colour vision.
INK, MUTED, HAIR, BLUE, VERMILION = "#1d2733", "#66727f", "#e3e7ec", "#0072b2", "#d55e00"
WIDTH, DPI = 6.4, 150  # inches wide, so that letters of 12 points can be read on a phone
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,  # a file name may hold dollar signs
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": HAIR,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": HAIR,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "savefig.bbox": None,
    "savefig.dpi": "figure",
    "savefig.facecolor": "auto",
}
WEIGHTS = LinearSegmentedColormap.from_list("weights", [BLUE, "white", VERMILION])

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Return the function as one that draws in this style, whatever style is set outside."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


def tiles(
    figure: Figure,
    images: NDArray[Any],
    rows: int,
    columns: int,
    space: tuple[int, int, int],
    *,
    top: float = 0.0,
    scale: float | None = None,
) -> Callable[..., None]:
    """Draw the images as one, `top` inches below the edge, and return what writes beside them.

    space: pixels above, below and between images. scale: their greatest weight, in colours; None:
    they are pixels. The returned function takes an image's number, a place in its pixels and the
    text. An axes for each image would take a hundred times as long.
    """
    head, foot, gap = space
    height, width = head + SIDE + foot, SIDE + gap
    ground = 255 if scale is None else 0
    mosaic = np.full((rows, height, columns, width), ground, images.dtype)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        mosaic[row, head : head + SIDE, column, gap // 2 : gap // 2 + SIDE] = image
    axes = figure.add_axes((0, 0, 1, 1 - top / figure.get_figheight()))
    axes.axis("off")
    axes.imshow(
        mosaic.reshape(rows * height, columns * width),
        cmap="gray" if scale is None else WEIGHTS,
        vmin=0 if scale is None else -scale,
        vmax=scale or 255,
        extent=(0, columns * width, rows * height, 0),
    )

    def write(number: int, x: float, y: float, text: str, **style: Any) -> None:
        row, column = divmod(number, columns)
        axes.text(column * width + gap // 2 + x, row * height + head + y, text, **style)

    return write


def log_axis(axis: YAxis, values: NDArray[np.float64], errors: bool) -> float:
    """Give the axis a logarithmic scale with plain labels; return where zeros shall be drawn."""
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.001, 0.01)
    for steps in ([1], [1, 2, 5], [1, 1.5, 2, 3, 4, 6, 8]):
        grid = np.outer(10.0 ** np.arange(-9, 3), steps).ravel()
        ticks = [float(tick) for tick in grid if low <= tick <= high]
        if len(ticks) >= 3:
            break
    else:
        ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if tick > 0]
    labels = [f"{100 * (1 - tick):.6g}%" if errors else f"{tick:.4g}" for tick in ticks]
    if (values == 0).any():
        low = low / 2
        ticks, labels = [low, *ticks], ["100%" if errors else "0", *labels]
    axis.axes.set_yscale("log")
    axis.set_ticks(ticks, labels)
    axis.set_minor_locator(NullLocator())
    margin = max(1.02, (high / low) ** 0.06)
    axis.axes.set_ylim(low / margin, high * margin)
    axis.set_inverted(errors)
    return float(low)


def heading(figure: Figure, text: str) -> None:
    """Write the heading of a figure without axes of its own at the top."""
    figure.text(0.02, 1 - 0.4 / figure.get_figheight(), text, size=15, weight="bold")
