// Filters as one types, keys, tokens on demand. Every page works without this file; it writes no HTML of its own.
"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const main = one("#main");
  document.documentElement.classList.add("js");

  // A page as a document. XMLHttpRequest parses it without running anything in it.
  let running = null;
  let at = null; // where the keys are
  function load(link, done) {
    const request = new XMLHttpRequest();
    request.open("GET", link);
    request.responseType = "document";
    request.onload = () => request.response && done(request.response);
    request.send();
    return request;
  }

  // --- the list, renewed in place
  const form = one("#filters");
  function address() {
    const words = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value.trim() !== "") words.append(name, value);
    const text = words.toString();
    return "/trajectories" + (text ? "?" + text : "");
  }
  function renew(link, remember) {
    if (running) running.abort();
    one("#results").setAttribute("aria-busy", "true");
    running = load(link, (page) => {
      running = null;
      const fresh = one("#results", page);
      if (!fresh) return;
      const picked = new Set(all("[data-pick]:checked").map((box) => box.value));
      const held = at && one("a.cover", at) ? one("a.cover", at).href : null;
      one("#results").replaceWith(document.importNode(fresh, true));
      one("#said").textContent = `${one("#count").textContent} trajectories`;
      // new values of a filter come with what has been read since; not under the reader's hands
      if (!remember && !form.contains(document.activeElement)) {
        form.replaceChildren(...[...one("#filters", page).children].map((node) => document.importNode(node, true)));
      }
      for (const part of all("[data-live]")) {
        const other = one(`[data-live="${CSS.escape(part.dataset.live)}"]`, page);
        if (other) part.replaceChildren(...[...other.childNodes].map((node) => document.importNode(node, true)));
      }
      for (const label of all(".options label")) {
        const count = one("small", label);
        if (count) label.classList.toggle("none", count.textContent === "0");
      }
      const sort = one('[name="sort"]', page);
      if (sort) one('[name="sort"]').value = sort.value;
      if (remember) history[remember](null, "", link);
      for (const box of all("[data-pick]")) box.checked = picked.has(box.value);
      at = all("[data-stop]").find((stop) => one("a.cover", stop).href === held) || null;
      if (at) at.classList.add("at");
      countPicks();
    });
  }
  if (form) {
    let timer = 0;
    form.addEventListener("input", (event) => {
      clearTimeout(timer);
      const isTyped = event.target.type === "search" || event.target.type === "number";
      timer = setTimeout(() => renew(address(), "replaceState"), isTyped ? 40 : 0);
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); renew(address(), "replaceState"); });
    main.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-swap]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      renew(link.href, "pushState");
      if (link.rel) scrollTo({ top: 0 });
    });
    addEventListener("popstate", () => location.reload());
    if (matchMedia("(max-width: 62rem)").matches) one(".side").open = false;
  }

  // --- what is being read
  const progress = one("#progress");
  if (progress) {
    const ask = () => {
      const request = new XMLHttpRequest();
      request.open("GET", "/status");
      request.responseType = "json";
      request.onload = () => {
        const state = request.response;
        if (!state) return;
        one("progress", progress).value = state.share;
        const isDone = state.pending_files === 0;
        if (form) renew(location.href, "");
        if (isDone) progress.remove();
        if (isDone && ["runs", "run"].includes(main.dataset.page)) location.reload();
        if (!isDone) setTimeout(ask, 700);
      };
      request.send();
    };
    setTimeout(ask, 500);
  }

  // --- tokens on demand
  document.addEventListener("toggle", (event) => {
    const box = event.target;
    if (!box.open || !box.dataset || !box.dataset.src) return;
    const link = box.dataset.src;
    delete box.dataset.src;
    load(link, (page) => {
      const body = one("#ledger", page);
      if (!body) { box.dataset.src = link; return; }
      body.removeAttribute("id");
      one("p", box).replaceWith(document.importNode(body, true));
    });
  }, true);

  // --- choosing two
  function countPicks() {
    const picked = all("[data-pick]:checked"), bar = one("[data-pickbar]");
    for (const box of all("[data-pick]:not(:checked)")) box.disabled = picked.length >= 2;
    if (!bar) return;
    const least = main.dataset.page === "runs" ? 2 : 1;
    bar.classList.toggle("ready", picked.length >= least);
    one("button", bar).textContent = picked.length === 2 ? "Compare these two" : "Compare with another round or run";
  }
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-pick]")) countPicks();
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
  // --- keys
  function go(stop) {
    if (!stop) return;
    if (at) at.classList.remove("at");
    at = stop;
    at.classList.add("at");
    const isTall = at.matches(".turn, .step");
    at.scrollIntoView({ block: isTall ? "start" : "nearest", behavior: "instant" });
    const link = one("a.cover, a.first", at);
    (link || at).focus({ preventScroll: true });
    if (at.id) history.replaceState(null, "", "#" + at.id);
  }
  function step(by) {
    const stops = all("[data-stop]"), place = stops.indexOf(at);
    go(stops[place < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.min(stops.length - 1, Math.max(0, place + by))]);
  }
  const press = (selector, root = document) => { const found = one(selector, root || document); if (found) found.click(); return !!found; };
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    n: () => press('main a[rel="next"]'),
    p: () => press('main a[rel="prev"]'),
    u: () => press('a[rel="up"]'),
    "/": () => { const box = one('[name="text"]'); if (box) { one(".side").open = true; box.focus(); box.select(); } else location.href = "/trajectories"; },
    x: () => at && press("[data-pick]", at),
    c: () => { const bar = one("[data-pickbar]"); if (!bar || bar.classList.contains("ready")) press("[data-key=c]"); },
    d: () => { const stops = all("[data-stop]"), place = stops.indexOf(at); go(stops.find((stop, i) => i > place && stop.classList.contains("point"))); },
    t: () => press("details.ledger > summary", at || document),
    w: () => document.body.classList.toggle("whole"),
    "?": () => one("#help").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || one("dialog[open]")) return;
    const isTyping = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (isTyping) { if (event.key === "Escape") event.target.blur(); return; }
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  one("#help-button").addEventListener("click", keys["?"]);

  countPicks();
  if (location.hash.startsWith("#turn-")) go(document.getElementById(location.hash.slice(1)));
  addEventListener("hashchange", () => go(document.getElementById(location.hash.slice(1))));
})();
