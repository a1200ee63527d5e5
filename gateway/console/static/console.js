// The console's own script: keeps pages live, draws sparklines, answers keys. Pages work without it.
(() => {
  "use strict";
  const region = () => document.getElementById("live-region");
  const box = document.getElementById("live");

  // ── live or paused, always said ──
  const STATES = {
    live: ["Live", "Pause"],
    paused: ["Paused", "Go live"],
    lost: ["Not live: the hub does not answer", "Try again"],
  };
  let source = null, asking = false, again = false, wanted = true, quiet = 0;

  function show(state) {
    if (!box) return;
    box.dataset.state = state;
    box.querySelector(".state").textContent = STATES[state][0];
    box.querySelector("button").textContent = STATES[state][1];
  }

  async function refresh() {
    if (!region()) return;
    if (asking) { again = true; return; }
    asking = true;
    try {
      await htmx.ajax("GET", location.pathname + location.search, {
        source: region(), target: "#live-region", select: "#live-region", swap: "outerMorph ignoreTitle:true",
        headers: { "X-Crossplant-Live": "1" },
      });
    } finally {
      asking = false;
      if (again) { again = false; refresh(); }
    }
  }

  function close() { if (source) { source.close(); source = null; } clearTimeout(quiet); }
  function heard() {
    clearTimeout(quiet);
    quiet = setTimeout(() => show("lost"), 10000);
    show("live");
  }
  function open() {
    close();
    source = new EventSource("/live");
    source.addEventListener("open", heard);
    source.addEventListener("beat", heard);
    source.addEventListener("changed", () => { heard(); refresh(); });
    source.addEventListener("ended", () => { close(); location.reload(); });
    source.addEventListener("error", () => {
      clearTimeout(quiet);
      show("lost");
      if (source && source.readyState === EventSource.CLOSED) { close(); quiet = setTimeout(open, 5000); }
    });
  }
  function settle() {
    if (!box || !region()) return;
    if (wanted && !document.hidden) open();
    else { close(); show("paused"); }
  }
  if (box && region()) {
    const button = box.querySelector("button");
    button.hidden = false;
    button.addEventListener("click", () => {
      wanted = box.dataset.state !== "live";
      settle();
      if (wanted) refresh();
    });
    document.addEventListener("visibilitychange", () => { settle(); if (wanted && !document.hidden) refresh(); });
    addEventListener("pagehide", close);
    addEventListener("pageshow", (event) => { if (event.persisted) settle(); });
    settle();
  }

  // ── sparklines ──
  const plots = new WeakMap();
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function draw(element) {
    const points = JSON.parse(element.dataset.points || "[]");
    const data = [points.map((point) => point[0]), points.map((point) => point[1])];
    const known = plots.get(element);
    if (known) { known.setData(data); return; }
    if (!data[0].length || typeof uPlot === "undefined") return;
    const note = element.parentElement.querySelector("[data-note]");
    const said = note ? note.textContent : "";
    const plot = new uPlot({
      width: 160, height: 32, padding: [2, 2, 2, 2],
      legend: { show: false },
      cursor: { y: false, points: { size: 5 }, drag: { setScale: false, x: false, y: false } },
      scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(high || 0, 1)] } },
      axes: [{ show: false }, { show: false }],
      series: [{}, { stroke: () => colour("--muted"), width: 1.25, points: { show: false }, spanGaps: false }],
      hooks: {
        setCursor: [(u) => {
          if (!note) return;
          const index = u.cursor.idx, value = index == null ? null : u.data[1][index];
          if (index == null || u.cursor.left < 0) { note.textContent = note.dataset.said || said; return; }
          const at = new Date(u.data[0][index] * 1000);
          const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", timeZone: element.dataset.zone || "UTC" });
          note.textContent = value == null ? `${time}: not watched` : `${time}: ${value.toLocaleString("en")} a minute`;
        }],
      },
    }, data, element);
    element.dataset.drawn = "1";
    plots.set(element, plot);
  }
  function drawAll() { document.querySelectorAll(".spark[data-points]").forEach(draw); }
  drawAll();
  document.addEventListener("htmx:after:swap", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.querySelectorAll(".spark[data-drawn]").forEach((element) => plots.get(element)?.redraw()));

  // ── keys ──
  const ROOMS = Object.fromEntries([...document.querySelectorAll(".rooms a[data-key]")].map((a) => [a.dataset.key, a.href]));
  let prefix = 0;
  const typing = (target) => target.matches("input, textarea, select") || target.isContentEditable;
  function step(by) {
    const rows = [...document.querySelectorAll("[data-row]")];
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
    const link = next.matches("a") ? next : next.querySelector("a, button");
    if (link) { link.focus(); next.scrollIntoView({ block: "nearest" }); }
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const help = document.getElementById("help");
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target) || (help && help.open)) return;
    if (prefix && Date.now() - prefix < 1500 && ROOMS[event.key]) { location.href = ROOMS[event.key]; event.preventDefault(); return; }
    prefix = event.key === "g" ? Date.now() : 0;
    const find = document.getElementById("q");
    if (event.key === "/" && find) { find.focus(); find.select(); event.preventDefault(); }
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "?" && help) help.showModal();
  });
  document.querySelectorAll("[data-opens-help]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => document.getElementById("help").showModal());
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.who[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });

  // ── a sent form is sent once ──
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    setTimeout(() => { delete form.dataset.sent; }, 5000);
  });
})();
