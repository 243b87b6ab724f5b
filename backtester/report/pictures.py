"""Pictures of a report's main charts, for who has a terminal only. Needs matplotlib (the extra `png`)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtester.audit.run_store import RunDir
from backtester.domain.errors import StorageError
from backtester.domain.money import amount_text
from backtester.report.candle_series import Candles
from backtester.report.curves import histogram, thinning
from backtester.report.report_data import ReportData, cost_steps

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _MUTED, _LINE = "#1a2230", "#566173", "#d9dee6"
_ACCENT, _GAIN, _LOSS = "#2460c8", "#12805c", "#c2352b"
_SYMBOLS_MAX = 4
_MARKERS_MAX = 600
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.titlecolor": _INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e8ecf1",
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "legend.frameon": False,
}


def write_pictures(data: ReportData, *, directory: Path) -> tuple[Path, ...]:
    """equity.png, candles.png and trades.png stand in `directory`, as far as there is something to draw. Raises StorageError."""
    from matplotlib import rc_context

    written = []
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create {directory}: {error.strerror}; choose another --output") from error
    with rc_context(_STYLE):
        for name, figure in (("equity", _equity(data)), ("candles", _candles(data)), ("trades", _trades(data))):
            if figure is None:
                continue
            title = f"Run {data.run.manifest.run_id}" + (": SYNTHETIC SAMPLE, no market's prices" if data.run.is_synthetic else "")
            figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", color=_INK, fontsize=12, fontweight="bold")
            path = directory / f"{name}.png"
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
            RunDir(directory).write_bytes(path.name, picture.getvalue())
            written.append(path)
    return tuple(written)


def _figure(rows: int, columns: int, height: float, ratios: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure of its own, that no global state holds, and its axes from left to right and from above."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"height_ratios": ratios} if ratios else {})
    return figure, [axis for row in axes for axis in row]


def _equity(data: ReportData) -> Figure | None:
    drawn = data.drawn
    if not len(drawn.time_ms):
        return None
    figure, (above, below) = _figure(2, 1, 5.5, (2, 1))
    below.sharex(above)
    time = _times(drawn.time_ms)
    above.fill_between(time, drawn.low, drawn.high, color=_ACCENT, alpha=0.18, linewidth=0)
    above.plot(time, drawn.equity, color=_ACCENT, linewidth=1.2)
    above.set(title="Equity", ylabel=data.market.quote)
    below.fill_between(time, drawn.drawdown * 100, 0, color=_LOSS, alpha=0.22, linewidth=0)
    below.plot(time, drawn.drawdown * 100, color=_LOSS, linewidth=0.8)
    below.set(title="Drawdown", ylabel="%")
    above.tick_params(labelbottom=False)
    _date_axis(below)
    return figure


def _candles(data: ReportData) -> Figure | None:
    symbols = [symbol for symbol in data.candles if symbol in data.held][:_SYMBOLS_MAX] or list(data.candles)[:1]
    if not symbols:
        return None
    import polars as pl

    figure, axes = _figure(len(symbols), 1, 3.2 * len(symbols) + 0.4)
    for axis, symbol in zip(axes, symbols, strict=True):
        _draw_candles(axis, data.candles[symbol])
        shown = _draw_fills(axis, data.run.fills.filter(pl.col("symbol") == symbol))
        axis.set(title=f"{symbol}: prices and fills{shown}", ylabel=data.market.quote)
        _date_axis(axis)
    return figure


def _draw_candles(axis: Axes, candles: Candles) -> None:
    """Lines from low to high, and close to close: at this size a candle has no body."""
    time = _times(candles.start_ms + candles.length_ms)
    rises = candles.close >= candles.open
    for chosen, colour in ((rises, _GAIN), (~rises, _LOSS)):
        axis.vlines(time[chosen], candles.low[chosen], candles.high[chosen], color=colour, linewidth=0.5, alpha=0.6)
    axis.plot(time, candles.close, color=_MUTED, linewidth=0.6)


def _draw_fills(axis: Axes, fills: pl.DataFrame) -> str:
    every = thinning(len(fills), _MARKERS_MAX)
    shown = fills.gather_every(every)
    is_buy = (shown["side"] == "buy").to_numpy()
    time, price = _times(shown["time_ms"].to_numpy()), shown["price"].to_numpy()
    style: dict[str, Any] = {"s": 26, "edgecolor": "white", "linewidth": 0.5, "zorder": 3}
    for chosen, marker, colour, name in ((is_buy, "^", _GAIN, "buy"), (~is_buy, "v", _LOSS, "sell")):
        axis.scatter(time[chosen], price[chosen], marker=marker, color=colour, label=name, **style)
    if len(shown):
        axis.legend(loc="upper left", ncols=2)
    return f" (1 of {every} drawn)" if every > 1 else ""


def _trades(data: ReportData) -> Figure | None:
    closed = data.closed
    steps = cost_steps(data)
    if closed is None or not steps:
        return None
    figure, (left, middle, right) = _figure(1, 3, 4.2)
    edges, counts = histogram(closed.percents)
    colours = [_GAIN if edge >= 0 else _LOSS for edge in edges[:-1].tolist()]
    left.bar(edges[:-1], counts, width=np.diff(edges) * 0.94, align="edge", color=colours)
    left.set(title="Results of trades", xlabel="net, % of the value entered", ylabel="trades")
    if closed.mae is not None and closed.mfe is not None:
        won = closed.percents > 0
        for chosen, colour, marker, name in ((won, _GAIN, "o", "won"), (~won, _LOSS, "x", "lost")):
            middle.scatter(
                closed.mae[chosen], closed.mfe[chosen], s=12, color=colour, marker=marker, alpha=0.7, linewidth=0.9, label=name
            )
        middle.legend(loc="upper left")
    middle.set(title="Excursions", xlabel="MAE, % of entry", ylabel="MFE, % of entry")
    total = 0.0
    for index, (_, amount, is_total) in enumerate(steps):
        bottom = 0.0 if is_total else total
        right.bar(index, amount, bottom=bottom, width=0.62, color=_ACCENT if is_total else _GAIN if amount > 0 else _LOSS)
        total = amount if is_total else total + amount
        edge, sign = bottom + amount, 1 if amount >= 0 else -1
        place: dict[str, Any] = {"ha": "center", "va": "bottom" if sign > 0 else "top", "textcoords": "offset points"}
        place["xytext"] = (0, 2 * sign)
        right.annotate(amount_text(amount, data.market.quote, sign=True), (index, edge), fontsize=8, color=_INK, **place)
    right.axhline(0, color=_MUTED, linewidth=0.8)
    right.set_xticks(range(len(steps)), [name.replace(" ", "\n") for name, _, _ in steps])
    right.tick_params(axis="x", labelsize=8)
    right.use_sticky_edges = False  # a bar that hangs from the top would leave no room for the amount above it
    right.margins(y=0.12)
    right.set(title="Where the result comes from", ylabel=data.market.quote)
    return figure


def _times(time_ms: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.datetime64]:
    return time_ms.astype("datetime64[ms]")


def _date_axis(axis: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call] # matplotlib has types in part
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call] # as above
