"""`bt why RUN ORDER` and `bt at RUN TIME`: what was seen, decided, refused and filled, and by which rule."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from textwrap import wrap

from backtester.app.order_story import Story, at, why
from backtester.cli.run_argument import chosen_data, run_directory, runs_directory
from backtester.domain.errors import EXIT_DONE
from backtester.domain.timeframe import iso_text, parse_time_ms, timeframe_ms
from backtester.report.journal_steps import Step
from backtester.report.listing import in_colour

_WIDTH = 118
_COLOURS = {"good": "32", "bad": "31", "warn": "33"}


def why_order(options: Namespace) -> int:
    """The way of an order is told, from what was seen to how it ended."""
    run = run_directory(options.run, runs_directory(options))
    return _tell(options, why(run, options.order, data=chosen_data(options, run)))


def at_time(options: Namespace) -> int:
    """What was held, seen and done at an instant is told."""
    run = run_directory(options.run, runs_directory(options))
    text = options.time
    time_ms = int(text) if text.isascii() and text.isdigit() and len(text) >= 12 else parse_time_ms(text, what="TIME")
    span_ms = timeframe_ms(options.span) if options.span is not None else 0
    return _tell(options, at(run, time_ms, span_ms=span_ms, data=chosen_data(options, run)))


def _tell(options: Namespace, story: Story) -> int:
    if options.json:
        told = {"title": story.title, "steps": [_json(step) for step in story.steps], "notes": story.notes}
        print(json.dumps(told))
        return EXIT_DONE
    print(story.title)
    _print_steps(story.steps)
    for note in story.notes:
        print(f"note: {note}")
    return EXIT_DONE


def _print_steps(steps: Sequence[Step]) -> None:
    """The time where it changes, what happened, its number and cause, and below it the rule."""
    coloured = in_colour(sys.stdout)
    width = max((len(step.kind) for step in steps), default=0)
    before_ms = None
    for step in steps:
        if step.time_ms != before_ms:
            print(f"{iso_text(step.time_ms)} UTC")
            before_ms = step.time_ms
        number = f" [event {step.seq}{f', caused by {step.cause}' if step.cause else ''}]" if step.seq else ""
        first, *rest = wrap(step.text + number, _WIDTH - width - 4, break_on_hyphens=False) or [""]
        colour = _COLOURS.get(step.tone, "") if coloured else ""
        kind = f"{step.kind:<{width}}"
        print(f"  \x1b[{colour}m{kind}\x1b[0m  {first}" if colour else f"  {kind}  {first}")
        for text in rest:
            print(f"  {'':<{width}}  {text}")
        for rule in step.rules:
            print(f"  {'':<{width}}  rule: {rule}")


def _json(step: Step) -> dict[str, object]:
    rules = [{"section": rule.section, "row": rule.row, "line": rule.line()} for rule in step.rules]
    return {
        "time_ms": step.time_ms,
        "seq": step.seq or None,
        "cause": step.cause or None,
        "kind": step.kind,
        "text": step.text,
        "rules": rules,
    }
