"""Executes a resolved run: loop, journal, files, manifest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import msgspec

from backtester import __version__
from backtester.app.currency import currency_record
from backtester.app.garbage import rarely_collected
from backtester.app.kill_file import KillFile
from backtester.app.logging import RunLog
from backtester.app.market_data import MarketData, open_market_data
from backtester.app.planning import Models, PlannedRun, plan_run, settings_text, strategy_names
from backtester.app.record import RunRecord
from backtester.app.resolve import ResolvedRun
from backtester.app.result import Progress, RunResult
from backtester.app.stopping import StopSignals
from backtester.app.wiring import Engine, build
from backtester.audit.journal import MemoryJournal
from backtester.audit.run_store import (
    Counts,
    Manifest,
    StrategyRecord,
    Timings,
    default_run_id,
)
from backtester.audit.versions import RunningCode, running_code, uncommitted_changes
from backtester.config.writing import config_hash, dump_toml
from backtester.data.feed import CandleFeed
from backtester.data.gaps import GapReport
from backtester.data.quote_series import QuoteSeries
from backtester.domain.instruments import SymbolSpecs
from backtester.domain.money import format_money, money_from_decimal
from backtester.domain.run_events import ControlAction, ControlEvent, RunEnded, RunStarted
from backtester.domain.vocabulary import Market, RejectReason
from backtester.engine.loop import Loop
from backtester.engine.ports import MarketDataSource
from backtester.engine.topics import T_BALANCES, T_CONTROL, T_RUN
from backtester.report.marked_feed import MarkedFeed
from backtester.report.results import MemoryFiles, Results, write_results

OnProgress = Callable[[Progress], None]
OnGaps = Callable[[Mapping[str, GapReport]], None]
"""Told before the run, by symbol, where its data has gaps and outages."""

_GAPS_LOGGED = 10
_END_REASONS = {"data": "end_of_data", "bankrupt": "bankrupt", "interrupted": "interrupted"}


def execute(
    resolved: ResolvedRun,
    *,
    output: Path | None = None,
    run_id: str | None = None,
    progress: OnProgress | None = None,
    on_gaps: OnGaps | None = None,
    market_data: MarketData | None = None,
    specs: SymbolSpecs | None = None,
    models: Models = Models(),
) -> RunResult:
    """Run once; with `output`, into a new directory `output/run_id`, else in memory.

    Raises what ended the run (a RunAbortedError around the cause), after the journal up to there and a manifest with status
    `failed` are on disk. DataQualityError, before anything is written, where the data has gaps and the run's policy is to fail.
    """
    if resolved.config.data.source == "catalog":
        import pyarrow.parquet  # noqa: F401 - starting a library is not the run's time
    code = running_code()  # nor is asking git
    started_s = perf_counter()
    with StopSignals() as signals, rarely_collected():
        market = market_data or open_market_data(resolved.config, resolved.refs)
        planned = plan_run(resolved, specs=specs, models=models, market=market)
        gaps = market.gaps(start_ms=planned.plan.feed_start_ms, end_ms=planned.plan.end_ms)
        if on_gaps is not None:
            on_gaps(gaps)
        feed = _open(market, planned)
        manifest = _manifest(resolved, planned, run_id, code, handed_over=_handed_over(resolved, specs, models))
        record = RunRecord(manifest, output=output)
        kill_file = KillFile(path) if (path := resolved.config.risk.kill_file) is not None else None
        try:
            record.open(dump_toml(resolved.config), changes=uncommitted_changes() if record.manifest.git_dirty else "")
            _log_start(record.log, resolved, record.manifest, gaps)
            finer = market.open_finer()
            quotes = _open_quotes(market, planned)
            engine = build(
                planned.plan,
                feed=feed,
                journal=record.journal,
                finer=finer,
                quotes=quotes,
                on_progress=_reporter(progress, resolved, kill_file),
            )
            signals.finish(engine.loop)
            if kill_file is not None:
                kill_file.guard(engine.loop)
            loaded_s = perf_counter()
            reason = _run(resolved, engine, feed)
            record.journal.close()
            ran_s = perf_counter()
            files, results = _written(record, resolved, planned, market=market, end_ms=engine.clock.now_ms)
            _complete(record.manifest, reason, engine, feed, results, digest=record.journal.digest())
            record.manifest.finer_fingerprint = finer.fingerprint() if finer is not None else ""
            record.manifest.quotes_fingerprint = quotes.fingerprint() if quotes is not None else ""
            record.manifest.timings = Timings(load_s=loaded_s - started_s, run_s=ran_s - loaded_s, report_s=perf_counter() - ran_s)
            _log_end(record.log, record.manifest, engine)
            record.finish()
        except BaseException as error:
            record.fail(error)
            raise
        finally:
            record.close()
    return RunResult(
        manifest=record.manifest,
        resolved=resolved,
        path=record.path,
        metrics=msgspec.structs.asdict(results.figures),
        summary=results.summary(),
        refusals=dict(results.tally.refusals_by_reason),
        texts=files.texts,
        lines=() if record.path is not None else tuple(record.journal.lines()),
    )


def event_stream(resolved: ResolvedRun, planned: PlannedRun, *, market: MarketData, journal: MemoryJournal) -> None:
    """`journal` holds the event stream of the run, up to where it raises; nothing is written and no figure is computed."""
    feed = _open(market, planned)
    engine = build(planned.plan, feed=feed, journal=journal, finer=market.open_finer(), quotes=_open_quotes(market, planned))
    _run(resolved, engine, feed)
    journal.close()


def _written(
    record: RunRecord, resolved: ResolvedRun, planned: PlannedRun, *, market: MarketData, end_ms: int
) -> tuple[MemoryFiles, Results]:
    """The files of a run that has ended at `end_ms`, and what stands in them; the candles are read a second time."""
    files = MemoryFiles()
    results = write_results(
        record.journal.lines(),
        open_file=record.run_dir.whole_file if record.run_dir is not None else files.whole_file,
        feed=_open_marked(market, planned),
        specs=planned.plan.specs,
        starting_cash=money_from_decimal(resolved.config.account.starting_cash) + _coins_value(planned),
        start_ms=planned.plan.start_ms,
        end_ms=end_ms,
        currency=planned.plan.currency.start() if planned.plan.currency is not None else None,
    )
    return files, results


def _coins_value(planned: PlannedRun) -> int:
    """Money units that the coins at the start are worth."""
    return sum(deposit.value for deposit in planned.plan.opening)


def _complete(manifest: Manifest, reason: str, engine: Engine, feed: CandleFeed, results: Results, *, digest: str) -> None:
    manifest.status = "interrupted" if reason == "interrupted" else "complete"
    manifest.end_reason = _END_REASONS[reason]
    manifest.digest = digest
    manifest.ledger_hash = engine.account.ledger.state_hash()
    manifest.data_fingerprint = feed.fingerprint()
    manifest.counts = _counts(feed, engine, results)
    intrabar = engine.venue.intrabar
    manifest.ambiguous_bars = intrabar.bars
    manifest.resolved_by_candles = intrabar.by_candles
    manifest.resolved_by_trades = intrabar.by_trades
    manifest.ambiguous_quote = format(intrabar.amount_quote, "f")
    if engine.venue.quotes is not None:
        manifest.quoted_fills = dict(engine.venue.quotes.counts)


def _open(market: MarketData, planned: PlannedRun) -> CandleFeed:
    plan = planned.plan
    return market.open(signal_ms=planned.signal_ms, start_ms=plan.feed_start_ms, end_ms=plan.end_ms)


def _open_quotes(market: MarketData, planned: PlannedRun) -> QuoteSeries | None:
    return market.open_quotes(start_ms=planned.plan.feed_start_ms, end_ms=planned.plan.end_ms)


def _open_marked(market: MarketData, planned: PlannedRun) -> MarketDataSource:
    """The candles a second time, closing at the prices that equity goes by."""
    feed, margin = _open(market, planned), planned.plan.margin
    marks = margin.open_marks() if margin.marks_equity else None
    return feed if marks is None else MarkedFeed(feed, marks.close_at)


def _run(resolved: ResolvedRun, engine: Engine, feed: CandleFeed) -> str:
    """The event stream from RunStarted to RunEnded; returns why it ended."""
    config = resolved.config
    bus, clock, loop = engine.bus, engine.clock, engine.loop
    bus.publish(
        T_RUN,
        RunStarted(
            time_ms=clock.now_ms,
            engine_version=__version__,
            seed=config.run.seed,
            symbols=tuple(ref.key for ref in resolved.refs),
            strategies=strategy_names(engine.plan.strategies),
            timeframe=config.run.timeframe,
            execution_timeframe=config.run.execution_timeframe,
            settings=settings_text(config),
        ),
    )
    for deposit in engine.plan.opening:
        bus.publish(T_BALANCES, deposit)
    for wallet in engine.plan.currency.deposits if engine.plan.currency is not None else ():
        bus.publish(T_BALANCES, wallet)
    bus.drain()
    reason = _to_the_end(loop)
    loop.expire_orders(RejectReason.BANKRUPT if reason == "bankrupt" else RejectReason.END_OF_RUN)
    if config.end.close and reason == "data":
        _close_out(engine)
    loop.end_strategies()
    bus.post(engine.account.on_snapshot_due())
    engine.account.check()
    bus.publish(
        T_RUN,
        RunEnded(
            time_ms=clock.now_ms,
            status=_END_REASONS[reason],
            data_fingerprint=feed.fingerprint(),
            ledger_hash=engine.account.ledger.state_hash(),
            candles=feed.candle_count(),
        ),
    )
    bus.drain()
    return reason


def _to_the_end(loop: Loop) -> str:
    """The loop run to its end; beside the event loop of a notebook, where one is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(loop.run())
    with ThreadPoolExecutor(max_workers=1) as beside:
        return beside.submit(lambda: asyncio.run(loop.run())).result()


def _close_out(engine: Engine) -> None:
    """Positions that are still open are sold at the last closes, with costs."""
    bus = engine.bus
    detail = "end.close: open positions are closed at the last closes"
    bus.publish(T_CONTROL, ControlEvent(time_ms=engine.clock.now_ms, action=ControlAction.END_CLOSE, detail=detail))
    bus.post(engine.risk.close_all(owner="end", reason="END"))
    bus.drain()
    bus.post(engine.venue.close_out())
    bus.drain()


def _reporter(progress: OnProgress | None, resolved: ResolvedRun, kill_file: KillFile | None) -> Callable[[int, int], None] | None:
    """What is to be done whenever the loop yields."""
    if progress is None and kill_file is None:
        return None

    def report(now_ms: int, candles: int) -> None:
        if kill_file is not None:
            kill_file.look()
        if progress is not None:
            progress(Progress(now_ms, resolved.start_ms, resolved.end_ms, candles))

    return report


def _handed_over(resolved: ResolvedRun, specs: SymbolSpecs | None, models: Models) -> list[str]:
    """What of the run came as a Python object, so that its configuration does not hold it."""
    classes = {loaded.name for loaded in resolved.strategies if loaded.source is None or "<locals>" in loaded.reference}
    given = {
        "candles": resolved.config.data.source == "memory",
        "instrument specs": specs is not None,
        "a slippage model": models.slippage is not None,
        "a fee model": models.fees is not None,
        **{f"strategy {name}": True for name in sorted(classes)},
    }
    return [name for name, is_given in given.items() if is_given]


def _manifest(
    resolved: ResolvedRun, planned: PlannedRun, run_id: str | None, code: RunningCode, *, handed_over: list[str]
) -> Manifest:
    config = resolved.config
    records = [
        StrategyRecord(
            name=loaded.reference,
            strategy_id=strategy_id,
            params=dict(section.params),
            source_path=str(loaded.source or ""),
            source_sha256=loaded.sha256,
            imported=dict(loaded.siblings),
        )
        for section, loaded, (strategy_id, _, _) in zip(
            config.strategies, resolved.strategies, planned.plan.strategies, strict=True
        )
    ]
    return Manifest(
        run_id=run_id or default_run_id(planned.plan.strategies[0][0]),
        seed=config.run.seed,
        strategy=", ".join(section.name for section in config.strategies),
        strategies=records,
        symbols=[ref.key for ref in resolved.refs],
        exchange=config.run.exchange,
        market=config.run.market,
        currency=currency_record(planned.plan.currency),
        coins_at_start=format_money(_coins_value(planned)) if planned.plan.opening else "0",
        quote=config.account.currency or next(iter(planned.plan.specs.values())).money_asset,
        bases={symbol: spec.base for symbol, spec in planned.plan.specs.items() if spec.market is Market.SPOT},
        contracts={key: format(spec.contract_size, "f") for key, spec in planned.plan.specs.items() if spec.face},
        start=config.run.start,
        end=config.run.end,
        timeframe=config.run.timeframe,
        execution_timeframe=config.run.execution_timeframe,
        data_source="synthetic sample" if config.data.source == "sample" else config.data.source,
        data_path=config.data.data_path,
        strategy_sha256=records[0].source_sha256,
        config_sha256=config_hash(config),
        assumptions=list(planned.assumptions),
        handed_over=handed_over,
        git_sha=code.git.sha,
        git_dirty=code.git.dirty,
        versions=code.versions,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _counts(feed: CandleFeed, engine: Engine, results: Results) -> Counts:
    return Counts(
        candles=feed.candle_count(),
        events=engine.bus.seq,
        orders=engine.orders.sent_count,
        fills=results.tally.fills,
        refusals=results.tally.refusals,
        gaps=feed.gap_count(),
        outages=sum(report.outages.total for report in feed.gaps().values()),
        filled=feed.filled_count(),
    )


def _log_start(log: RunLog, resolved: ResolvedRun, manifest: Manifest, gaps: Mapping[str, GapReport]) -> None:
    log.info(
        "run_started",
        seq=0,
        sim_time_ms=resolved.start_ms,
        strategy=manifest.strategy,
        symbols=manifest.symbols,
        data_source=manifest.data_source,
        start=manifest.start,
        end=manifest.end,
    )
    for symbol, report in gaps.items():
        for event, found in zip(("bars_missing", "outages_found"), report, strict=True):
            if found.total:
                first = [str(stretch) for stretch in found.first[:_GAPS_LOGGED]]
                facts = {"symbol": symbol, "stretch_count": found.total, "bar_count": found.bars, "first": first}
                log.warning(event, seq=0, sim_time_ms=resolved.start_ms, **facts)


def _log_end(log: RunLog, manifest: Manifest, engine: Engine) -> None:
    facts = {"seq": engine.bus.seq, "sim_time_ms": engine.clock.now_ms}
    if manifest.end_reason == "bankrupt":
        log.warning("run_bankrupt", **facts)
    log.info(
        "run_ended",
        status=manifest.status,
        end_reason=manifest.end_reason,
        digest=manifest.digest,
        counts=manifest.counts,
        timings=manifest.timings,
        **facts,
    )
