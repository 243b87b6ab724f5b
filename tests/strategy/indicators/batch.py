"""The textbook forms of the indicators over a whole list at once: exact fractions where a formula is a sum, plain recursion
where it is one. Nothing here is shared with the streaming forms."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt

DAY_MS = 86_400_000


def windows(values, length):
    return [values[end - length : end] if end >= length else None for end in range(1, len(values) + 1)]


def sma(values, length):
    return [None if w is None else float(sum(map(Fraction, w)) / length) for w in windows(values, length)]


def variance(window, *, sample):
    exact = [Fraction(value) for value in window]
    mean = sum(exact) / len(exact)
    return sum((value - mean) ** 2 for value in exact) / (len(exact) - sample)


def deviation(values, length, *, sample=False):
    return [None if w is None else sqrt(float(variance(w, sample=sample))) for w in windows(values, length)]


def bollinger(values, length, width):
    rows = zip(sma(values, length), deviation(values, length), strict=True)
    return [None if mean is None else (mean - width * dev, mean, mean + width * dev) for mean, dev in rows]


def recursion(values, length, step):
    """None before `length` values, then their mean, then `step(last, value)`."""
    out = [None] * (length - 1) + [float(sum(map(Fraction, values[:length])) / length)]
    for value in values[length:]:
        out.append(step(out[-1], value))
    return out[: len(values)] if len(values) >= length else [None] * len(values)


def ema(values, length):
    return recursion(values, length, lambda last, value: last + 2.0 / (length + 1) * (value - last))


def wilder(values, length):
    return recursion(values, length, lambda last, value: (last * (length - 1) + value) / length)


def macd(values, fast, slow, signal):
    lines = [
        None if slow_value is None else fast_value - slow_value
        for fast_value, slow_value in zip(ema(values, fast), ema(values, slow), strict=True)
    ]
    known = [line for line in lines if line is not None]
    signals = [None] * (len(lines) - len(known)) + ema(known, signal)
    return [None if s is None else (line, s, line - s) for line, s in zip(lines, signals, strict=True)]


def rsi(values, length):
    changes = [after - before for before, after in zip(values, values[1:], strict=False)]
    rises = wilder([max(change, 0.0) for change in changes], length)
    falls = wilder([max(-change, 0.0) for change in changes], length)
    out = [None] if values else []
    for rise, fall in zip(rises, falls, strict=True):
        if rise is None:
            out.append(None)
        else:
            out.append(50.0 if rise + fall == 0 else 100.0 * (rise / (rise + fall)))
    return out


def atr(bars, length):
    ranges = [
        max(high - low, abs(high - close), abs(low - close)) for (_, _, close), (high, low, _) in zip(bars, bars[1:], strict=False)
    ]
    return ([None] if bars else []) + wilder(ranges, length)


def rolling(values, length, pick):
    return [None if w is None else pick(w) for w in windows(values, length)]


def donchian(bars, length):
    highs = rolling([high for high, _, _ in bars], length, max)
    lows = rolling([low for _, low, _ in bars], length, min)
    return [None if high is None else (low, (low + high) / 2, high) for high, low in zip(highs, lows, strict=True)]


def average_price(rows):
    """Volume weighted; None where there is no volume."""
    volume = sum(Fraction(volume) for _, _, _, volume in rows)
    value = sum(Fraction((high + low + close) / 3) * Fraction(volume) for high, low, close, volume in rows)
    return float(value / volume) if volume else None


def vwap(rows, length):
    return [None if w is None else average_price(w) for w in windows(rows, length)]


def session_vwap(rows, starts_ms):
    out = []
    for index, start_ms in enumerate(starts_ms):
        day = [row for row, at_ms in zip(rows[: index + 1], starts_ms, strict=False) if at_ms // DAY_MS == start_ms // DAY_MS]
        out.append(average_price(day))
    return out
