"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const charts = read("charts-data"), market = read("market-data");
  const isNarrow = () => window.innerWidth < 600;
  const isTouch = window.matchMedia("(pointer: coarse)").matches;
  const arrays = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u1: Uint8Array };

  const unpacked = (column) => {
    const text = atob(column.bdata), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new arrays[column.dtype](bytes.buffer);
  };

  // -- colours ---------------------------------------------------------------------------------------------------------
  let style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const coloured = (value) => {
    if (typeof value === "string") return value.startsWith("var(") ? colour(value.slice(4, -1)) : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object" && !ArrayBuffer.isView(value))
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, coloured(one)]));
    return value;
  };

  const layoutOf = (own, height) => {
    const axis = { gridcolor: colour("--grid"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
    const layout = {
      height: isNarrow() ? Math.min(height, 360) : height,
      margin: { l: 10, r: 10, t: isTouch ? 14 : 32, b: 10 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--accent") }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: isNarrow() ? 11 : 12.5, color: colour("--muted") },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--ink"), size: 12.5 } },
      hovermode: "closest", dragmode: isTouch ? false : "zoom", showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      xaxis: {}, yaxis: {}, ...coloured(own),
    };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      layout[name] = { ...axis, ...layout[name] };
      if (layout[name].title) layout[name].title.standoff = 10;
      if (isTouch) layout[name].fixedrange = true;
    }
    return layout;
  };
  const settings = {
    responsive: true, displaylogo: false, showSendToCloud: false, displayModeBar: isTouch ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "toImage"],
  };

  const drawAll = () => {
    style = getComputedStyle(document.documentElement);
    for (const chart of charts) {
      const node = document.getElementById("chart-" + chart.name);
      Plotly.react(node, coloured(chart.traces), layoutOf({ showlegend: false, ...chart.layout }, chart.height), settings);
    }
    drawMarket();
  };

  // -- candles ---------------------------------------------------------------------------------------------------------
  const VISIBLE = { candles: 360, fills: 1200, lines: 250 };
  const LENGTHS_S = [60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200, 86400, 172800, 259200, 604800, 1209600];
  const KINDS = [
    { name: "long entry", symbol: "triangle-up", colour: "--gain" }, { name: "short entry", symbol: "triangle-down", colour: "--loss" },
    { name: "long exit", symbol: "triangle-down-open", colour: "--gain" }, { name: "short exit", symbol: "triangle-up-open", colour: "--loss" },
  ];
  const node = document.getElementById("chart-market");
  const opened = {};
  let symbol = market.symbols[0], view = null, isDrawing = false;

  const openSymbol = (name) => {
    if (opened[name]) return opened[name];
    const raw = market.data[name], scale = 10 ** raw.decimals, found = { decimals: raw.decimals };
    for (const part of ["candles", "fills", "trades", "stops"]) {
      found[part] = raw[part] ? { ...raw[part] } : null;
      for (const [key, column] of Object.entries(raw[part] || {})) if (column && column.bdata !== undefined) found[part][key] = unpacked(column);
    }
    found.price = (value) => value / scale;
    return (opened[name] = found);
  };
  const ms = (seconds) => market.start_ms + seconds * 1000;
  const seconds = (time) => (time - market.start_ms) / 1000;
  const text = (value, digits) => value.toLocaleString("en-US", { maximumFractionDigits: digits });
  const firstFrom = (column, value) => {
    let low = 0, high = column.length;
    while (low < high) { const middle = (low + high) >> 1; if (column[middle] < value) low = middle + 1; else high = middle; }
    return low;
  };
  const inView = (part, from, to) => {
    const rows = [];
    for (let i = 0; i < part.from.length; i++) if (part.to[i] >= from && part.from[i] <= to) rows.push(i);
    return rows;
  };

  const candlesIn = (data, from, to) => {
    const all = data.candles, first = firstFrom(all.start, from - all.length_s), last = firstFrom(all.start, to);
    const least = ((last - first) / VISIBLE.candles) * all.length_s, base = Math.max(all.length_s, 1);
    const size = LENGTHS_S.find((one) => one >= Math.max(least, base) && one % base === 0) || Math.ceil(Math.max(least / base, 1)) * base;
    const out = { x: [], open: [], high: [], low: [], close: [], length_s: size };
    for (let i = first, bucket = null; i < last; i++) {
      const start = Math.floor((ms(all.start[i]) / 1000) / size) * size, row = out.x.length - 1;
      const high = data.price(all.high[i]), low = data.price(all.low[i]), close = data.price(all.close[i]);
      if (start !== bucket) {
        bucket = start;
        out.x.push(start * 1000 + size * 500); out.open.push(data.price(all.open[i]));
        out.high.push(high); out.low.push(low); out.close.push(close);
      } else {
        out.high[row] = Math.max(out.high[row], high); out.low[row] = Math.min(out.low[row], low); out.close[row] = close;
      }
    }
    return out;
  };

  const fillTraces = (data, from, to) => {
    const fills = data.fills, first = firstFrom(fills.time, from), last = firstFrom(fills.time, to + 1);
    const step = Math.max(1, Math.ceil((last - first) / VISIBLE.fills) | 1); // odd: entries and exits take turns
    const traces = KINDS.map((kind) => ({
      type: "scatter", mode: "markers", name: kind.name, x: [], y: [], text: [], showlegend: false,
      marker: { symbol: kind.symbol, size: step > 1 ? 7 : 10, color: colour(kind.colour), line: { width: kind.symbol.endsWith("open") ? 1.8 : 0.8, color: colour(kind.symbol.endsWith("open") ? kind.colour : "--panel") } },
      hovertemplate: "%{text}<extra>" + kind.name + "</extra>",
    }));
    let shown = 0;
    for (let i = first; i < last; i += step, shown++) {
      const trace = traces[fills.kind[i]], price = data.price(fills.price[i]);
      trace.x.push(ms(fills.time[i])); trace.y.push(price);
      const reason = (fills.reasons[fills.reason[i]] || "").replaceAll("&", "&amp;").replaceAll("<", "&lt;");
      trace.text.push(`${new Date(ms(fills.time[i])).toISOString().slice(0, 19).replace("T", " ")} UTC<br>${text(fills.qty[i], 8)} at ${text(price, data.decimals)}<br>${reason}`);
    }
    return { traces, shown, total: (last - first) * fills.every };
  };

  const lineTraces = (data, from, to) => {
    const traces = [];
    const add = (name, colourName, dash, rows, points) => {
      if (!rows.length) return;
      const trace = { type: "scatter", mode: "lines", name, x: [], y: [], hoverinfo: "skip", showlegend: false, line: { color: colour(colourName), width: 1.5, dash } };
      for (const row of rows) { const [x0, y0, x1, y1] = points(row); trace.x.push(ms(x0), ms(x1), null); trace.y.push(data.price(y0), data.price(y1), null); }
      traces.push(trace);
    };
    if (data.trades) {
      const part = data.trades, rows = inView(part, from, to), points = (i) => [part.from[i], part.entry[i], part.to[i], part.exit[i]];
      if (rows.length <= VISIBLE.lines) {
        add("won", "--gain", "dot", rows.filter((i) => part.won[i] === 1), points);
        add("lost", "--loss", "dot", rows.filter((i) => part.won[i] !== 1), points);
      }
    }
    if (data.stops) {
      const part = data.stops, rows = inView(part, from, to), points = (i) => [part.from[i], part.price[i], part.to[i], part.price[i]];
      if (rows.length <= 2 * VISIBLE.lines) {
        add("stop", "--loss", "solid", rows.filter((i) => part.kind[i] === 1), points);
        add("take-profit", "--gain", "solid", rows.filter((i) => part.kind[i] !== 1), points);
      }
    }
    return traces;
  };

  const priceRange = (traces, from, to) => {
    let low = Infinity, high = -Infinity;
    for (const trace of traces) for (let i = 0; i < trace.x.length; i++) {
      if (trace.x[i] === null || trace.x[i] < ms(from) || trace.x[i] > ms(to)) continue;
      low = Math.min(low, trace.low ? trace.low[i] : trace.y[i]); high = Math.max(high, trace.high ? trace.high[i] : trace.y[i]);
    }
    if (!(high >= low)) return undefined;
    const room = (high - low) * 0.06 || high * 0.01 || 1;
    return [low - room, high + room];
  };

  const drawMarket = () => {
    if (!node || !symbol) return;
    const data = openSymbol(symbol), from = seconds(view ? view[0] : market.start_ms), to = seconds(view ? view[1] : market.end_ms);
    const { traces, shown, total } = fillTraces(data, from, to), lines = lineTraces(data, from, to), drawn = [...lines, ...traces];
    let said = "";
    if (data.candles) {
      const { length_s, ...candles } = candlesIn(data, from, to);
      const one = (name) => ({ line: { color: colour(name), width: 1 }, fillcolor: colour(name) });
      drawn.unshift({ type: "candlestick", name: symbol, ...candles, increasing: one("--up"), decreasing: one("--down"), showlegend: false, hoverlabel: { split: false } });
      said = `Candles of ${length_s % 86400 === 0 ? length_s / 86400 + " d" : length_s % 3600 === 0 ? length_s / 3600 + " h" : length_s / 60 + " min"}. `;
    }
    said += total ? `${text(shown, 0)} of ${text(total, 0)} fills in view are drawn${shown < total ? ": zoom in for all" : ""}.` : "No fill in view.";
    document.getElementById("market-said").textContent = said;
    const layout = layoutOf({
      showlegend: false, hovermode: "closest",
      xaxis: { type: "date", rangeslider: { visible: false }, range: [ms(from), ms(to)], hoverformat: "%Y-%m-%d %H:%M" },
      yaxis: { title: { text: "price, " + market.quote }, range: priceRange(drawn, from, to), tickformat: ",.7~g", fixedrange: true },
    }, 460);
    isDrawing = true;
    Plotly.react(node, drawn, layout, settings).then(() => { isDrawing = false; });
  };

  const show = (from, to) => {
    const whole = market.end_ms - market.start_ms, span = Math.max(60000, Math.min(whole, to - from));
    const start = Math.min(Math.max(from, market.start_ms), market.end_ms - span);
    view = span >= whole ? null : [start, start + span];
    for (const button of document.querySelectorAll("[data-span]")) {
      const length = Number(button.dataset.span) || whole;
      button.setAttribute("aria-pressed", String(Math.abs(length - span) < 1000));
    }
    drawMarket();
  };

  const listen = () => {
    node.on("plotly_relayout", (change) => {
      if (isDrawing) return;
      if (change["xaxis.autorange"]) return show(market.start_ms, market.end_ms);
      const range = change["xaxis.range"] || [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (range[0] === undefined || range[1] === undefined) return;
      const at = (value) => (typeof value === "number" ? value : Date.parse(String(value).replace(" ", "T") + (String(value).length > 10 ? "Z" : "T00:00Z")));
      show(at(range[0]), at(range[1]));
    });
    for (const button of document.querySelectorAll("[data-span]")) button.addEventListener("click", () => {
      const length = Number(button.dataset.span) || market.end_ms - market.start_ms, end = view ? view[1] : market.end_ms;
      show(end - length, end);
    });
    for (const button of document.querySelectorAll("[data-step]")) button.addEventListener("click", () => {
      if (!view) return;
      const by = (view[1] - view[0]) * 0.8 * Number(button.dataset.step);
      show(view[0] + by, view[1] + by);
    });
    const choice = document.getElementById("market-symbol");
    if (choice) choice.addEventListener("change", () => { symbol = choice.value; drawMarket(); });
  };

  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => {
    const source = document.getElementById(button.dataset.copy), range = document.createRange();
    range.selectNodeContents(source);
    const selection = window.getSelection();
    selection.removeAllRanges(); selection.addRange(range);
    if (navigator.clipboard) navigator.clipboard.writeText(source.textContent).then(() => { button.textContent = "Copied"; }, () => {});
    else if (document.execCommand("copy")) button.textContent = "Copied";
  });

  drawAll();
  if (node) listen();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let wasNarrow = isNarrow();
  window.addEventListener("resize", () => { if (isNarrow() !== wasNarrow) { wasNarrow = isNarrow(); drawAll(); } });
  document.documentElement.dataset.drawn = "true";
})();
