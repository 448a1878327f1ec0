// Draws every time chart: measured line, normal band, values outside it, forecast fan, limit, events.
// uPlot paints; keyboard, touch and the spoken line are ours. The data stands in the figure itself.
(() => {
  const probe = document.createElement("span");
  probe.hidden = true;

  /** Resolve a colour token to rgb, as a canvas knows neither tokens nor light-dark(). */
  function colour(token, alpha = 1) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.setProperty("color", `var(${token})`);
    const value = getComputedStyle(probe).color;
    if (alpha === 1) return value;
    const parts = value.match(/[\d.]+/g).slice(0, 3).join(",");
    return `rgba(${parts},${alpha})`;
  }

  const ratio = () => devicePixelRatio || 1;

  function hatch() {
    const size = 8 * ratio(), tile = document.createElement("canvas");
    tile.width = tile.height = size;
    const pen = tile.getContext("2d");
    pen.strokeStyle = colour("--plan", .55);
    pen.lineWidth = 2 * ratio();
    pen.beginPath();
    for (const offset of [-size, 0, size]) { pen.moveTo(offset, size); pen.lineTo(offset + size, 0); }
    pen.stroke();
    return tile;
  }

  function build(figure) {
    const host = figure.querySelector(".plot"), data = JSON.parse(figure.querySelector("script").textContent);
    const read = figure.querySelector(".read"), small = host.clientWidth < 520;
    const language = document.documentElement.lang, zone = { timeZone: data.tz };
    const days = (data.t.at(-1) - data.t[0]) / 86400;
    const onAxis = new Intl.DateTimeFormat(language, days > 4 ? { day: "numeric", month: "short", ...zone } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", ...zone });
    const inFull = new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", ...zone });
    const spread = Math.max(...data.v.filter((v) => v != null).map(Math.abs), Math.abs(data.limit ?? 0), 1e-9);
    const number = new Intl.NumberFormat(language, { maximumFractionDigits: spread < 1 ? 3 : spread < 20 ? 1 : 0 });
    const font = `500 ${small ? 11 : 12}px InterV, system-ui, sans-serif`, pen = (pixels, weight) => `${weight} ${pixels * ratio()}px InterV, system-ui, sans-serif`;
    const tile = hatch();

    function under(u) {
      if (!data.window) return;
      const { ctx, bbox } = u, from = u.valToPos(data.window[0], "x", true), to = Math.min(u.valToPos(data.window[1], "x", true), bbox.left + bbox.width);
      ctx.save();
      ctx.globalAlpha = .6;
      ctx.fillStyle = ctx.createPattern(tile, "repeat");
      ctx.fillRect(from, bbox.top, Math.max(to - from, 2), bbox.height);
      ctx.restore();
    }

    function outside(u) {
      const { ctx } = u;
      ctx.save();
      ctx.fillStyle = colour("--plan");
      data.t.forEach((t, i) => {
        const v = data.v[i];
        if (v == null || data.hi[i] == null || (v <= data.hi[i] && v >= data.lo[i])) return;
        ctx.beginPath();
        ctx.arc(u.valToPos(t, "x", true), u.valToPos(v, "y", true), (small ? 1.6 : 2) * ratio(), 0, 7);
        ctx.fill();
      });
      ctx.restore();
    }

    function over(u) {
      const { ctx, bbox } = u, p = ratio(), right = bbox.left + bbox.width, bottom = bbox.top + bbox.height;
      ctx.save();
      ctx.lineWidth = 1.5 * p;
      if (data.limit != null) {
        const y = u.valToPos(data.limit, "y", true);
        ctx.strokeStyle = colour("--act");
        ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(right, y); ctx.stroke();
        ctx.fillStyle = colour("--act-t");
        ctx.font = pen(small ? 11 : 12, 500);
        ctx.textAlign = "left"; ctx.textBaseline = y - bbox.top < 18 * p ? "top" : "bottom";
        ctx.fillText(data.limitLabel, bbox.left + 4 * p, y + (ctx.textBaseline === "top" ? 4 : -4) * p);
      }
      const now = u.valToPos(data.now, "x", true);
      ctx.font = pen(small ? 11 : 12, 600);
      ctx.textAlign = "center"; ctx.textBaseline = "bottom";
      let room = right;
      if (data.window) {
        const middle = (u.valToPos(data.window[0], "x", true) + Math.min(u.valToPos(data.window[1], "x", true), right)) / 2;
        const half = ctx.measureText("Likely failure").width / 2, at = Math.min(middle, right - half);
        ctx.fillStyle = colour("--plan-t");
        ctx.fillText("Likely failure", at, bbox.top - 3 * p);
        room = at - half - 8 * p;
      }
      if (now >= bbox.left && now <= right + 2) {
        ctx.strokeStyle = colour("--faint");
        ctx.setLineDash([3 * p, 3 * p]);
        ctx.beginPath(); ctx.moveTo(now, bbox.top); ctx.lineTo(now, bottom); ctx.stroke();
        ctx.setLineDash([]);
        ctx.fillStyle = colour("--ink");
        ctx.fillText(data.nowLabel, Math.min(now, room - ctx.measureText(data.nowLabel).width / 2), bbox.top - 3 * p);
      }
      data.markers.forEach((marker, number) => {
        const x = u.valToPos(marker.t, "x", true), k = data.t.findIndex((t) => t >= marker.t);
        const y = u.valToPos(data.v[k] ?? data.hi[k] ?? u.scales.y.min, "y", true), r = 9 * p, flag = Math.max(bbox.top + r + 2 * p, y - 36 * p);
        ctx.strokeStyle = ctx.fillStyle = colour(`--${marker.level}`);
        ctx.beginPath(); ctx.moveTo(x, y - 4 * p); ctx.lineTo(x, flag + r); ctx.stroke();
        ctx.beginPath(); ctx.arc(x, flag, r, 0, 7); ctx.fill();
        ctx.fillStyle = colour("--surface");
        ctx.textBaseline = "middle";
        ctx.fillText(String(number + 1), x, flag + .5 * p);
      });
      ctx.restore();
    }

    function range(u, low, high) {
      const seen = [...data.v, ...data.lo, ...data.hi].filter((v) => v != null);
      if (data.limit != null) seen.push(data.limit);
      let bottom = Math.min(...seen), top = Math.max(...seen);
      if (!seen.length) return [0, 1];
      const room = (top - bottom || Math.abs(top) || 1) * .09;
      return [bottom - room, top + room];
    }

    function say(u) {
      const i = u.cursor.idx;
      if (i == null) { read.textContent = read.dataset.idle; return; }
      const when = inFull.format(data.t[i] * 1e3), v = data.v[i], unit = data.unit;
      const normal = data.lo[i] == null ? "" : `, normal ${number.format(data.lo[i])} to ${number.format(data.hi[i])}`;
      if (v != null) read.textContent = `${when}: ${number.format(v)} ${unit}${normal}`;
      else if (data.mid[i] != null) read.textContent = `${when}: forecast ${number.format(data.flo[i])} to ${number.format(data.fhi[i])} ${unit}`;
      else read.textContent = `${when}: no value`;
    }

    const hidden = { stroke: "transparent", width: 0, points: { show: false } };
    const options = {
      width: host.clientWidth, height: small ? 230 : 290, padding: [18, 20, 0, 0], legend: { show: false },
      tzDate: (t) => uPlot.tzDate(new Date(t * 1e3), data.tz),
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 8, fill: () => colour("--c-line") } },
      scales: { y: { range } },
      axes: [
        { font, stroke: colour("--faint"), grid: { show: false }, ticks: { stroke: colour("--line"), size: 5 }, space: small ? 66 : 96, size: 28, values: (u, marks) => marks.map((t) => onAxis.format(t * 1e3)) },
        { font, stroke: colour("--faint"), size: small ? 34 : 42, gap: 4, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, space: 44, values: (u, marks) => marks.map((v) => number.format(v)) },
      ],
      series: [{}, { stroke: colour("--c-line"), width: 1.75, points: { show: false } }, hidden, hidden, { stroke: colour("--c-fan"), width: 2, dash: [5, 4], points: { show: false } }, hidden, hidden],
      bands: [{ series: [2, 3], fill: colour("--c-band") }, { series: [5, 6], fill: colour("--c-fan", .2) }],
      hooks: { drawClear: [under], draw: [outside, over], setCursor: [say] },
    };
    figure.plot?.destroy();
    host.replaceChildren();
    const u = figure.plot = new uPlot(options, [data.t, data.v, data.hi, data.lo, data.mid, data.fhi, data.flo], host);
    const go = (i) => u.setCursor({ left: u.valToPos(data.t[Math.max(0, Math.min(data.t.length - 1, i))], "x"), top: 10 });
    host.onkeydown = (event) => {
      const at = u.cursor.idx ?? data.t.findIndex((t) => t >= data.now), step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12 }[event.key];
      if (step) go((at < 0 ? data.t.length - 1 : at) + step);
      else if (event.key === "Home") go(0);
      else if (event.key === "End") go(data.t.length - 1);
      else if (event.key === "Escape") u.setCursor({ left: -10, top: -10 });
      else return;
      event.preventDefault();
    };
    host.onpointermove = (event) => { if (event.pointerType !== "mouse") u.setCursor({ left: event.clientX - u.over.getBoundingClientRect().left, top: 10 }); };
    figure.dataset.ready = "1";
  }

  function buildAll() {
    for (const figure of document.querySelectorAll("figure.chart")) {
      try { build(figure); } catch (error) {
        figure.querySelector(".plot").textContent = "The chart could not be drawn. The table below has its values.";
        console.error(error);
      }
    }
  }
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(buildAll, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", buildAll);
  document.addEventListener("theme", buildAll);
  document.fonts.ready.then(buildAll);
})();
