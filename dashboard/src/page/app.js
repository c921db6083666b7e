// The page: what to show lives in the URL; every answer is asked for again while the page is visible.

import { METRICS, draw, table } from "./chart.js";
import { count, empty, make, zone } from "./format.js";
import * as panels from "./panels.js";

const REFRESH = 5000;
const ROWS = 10;
const DEFAULTS = { interval: "30d", mode: "live", workspace: "", partnerId: "", metric: "clicks", basis: "period", kind: "all" };
const CHOICES = {
  metrics: ["metric", Object.entries(METRICS).map(([key, it]) => [key, it.label])],
  bases: ["basis", [["period", "In the period"], ["cohort", "By click cohort"]]],
  kinds: ["kind", [["all", "All"], ["clicks", "Clicks"], ["leads", "Leads"], ["sales", "Sales"], ["refunds", "Refunds"]]],
};

const $ = (id) => document.getElementById(id);
const state = { ...DEFAULTS, ...Object.fromEntries(new URLSearchParams(location.search)) };
const shown = { series: null, currency: "usd" };
let round = 0;
let timer;

class Refused extends Error {}

async function get(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) query.set(name, value);
  let response;
  try {
    response = await fetch(`${path}?${query}`, { signal: AbortSignal.timeout(30000) });
  } catch {
    throw new Refused("The dashboard does not answer. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(body?.error?.message ?? `The dashboard answered ${response.status}.`);
  return body;
}

const scope = () => ({ workspace: state.workspace, mode: state.mode });
const asked = () => ({ ...scope(), interval: state.interval, partnerId: state.partnerId, timezone: zone });

// A part of the page is only touched when its answer changed, so focus and selection survive a refresh.
const last = new Map();
function put(id, data, build) {
  const key = JSON.stringify(data);
  if (last.get(id) === key) return;
  last.set(id, key);
  const content = build();
  $(id).replaceChildren(...[content].flat().filter(Boolean));
}

async function load() {
  clearTimeout(timer);
  const mine = ++round;
  try {
    await workspaces();
    const kinds = state.kind === "all" ? ["clicks", "leads", "sales", "refunds"] : [state.kind];
    const [overview, series, funnel, partners, ...events] = await Promise.all([
      get("/overview", asked()),
      get("/analytics", { ...asked(), event: "composite", groupBy: "timeseries" }),
      get("/funnel", { ...asked(), basis: state.basis }),
      get("/analytics", { ...asked(), partnerId: "", event: "composite", groupBy: "top_partners" }),
      ...kinds.map((event) => get("/events", { ...asked(), event, limit: ROWS })),
    ]);
    if (mine !== round) return;
    shown.currency = overview.currency || "usd";
    const currency = shown.currency;
    const list = events.flat().sort((a, b) => (a.timestamp < b.timestamp ? 1 : -1));
    options("partnerId", ["", ...partners.map((row) => row.partnerId).filter(Boolean).sort()], "All partners");
    put("cards", overview, () => panels.cards(overview));
    put("lost", [overview, state.partnerId], () => panels.lost(overview, state.partnerId));
    put("funnel", [funnel, currency], () => panels.funnel(funnel, currency));
    put("partners", [partners, currency], () => panels.partners(partners, currency, (id) => set({ partnerId: id })));
    put("events", [mix(list), Math.floor(Date.now() / 60000)], () => panels.events(mix(list), look));
    if (JSON.stringify(series) !== JSON.stringify(shown.series)) {
      shown.series = series;
      chart();
    }
    $("footer").textContent = `Days begin and end in ${zone}. Clicks are people's: ${count(overview.bots)} from machines and ` +
      `${count(overview.duplicates)} repeated ones are not counted. Corrections are already in every figure.`;
    say("live", "Live");
  } catch (error) {
    if (mine !== round) return;
    if (!(error instanceof Refused)) console.error(error);
    say("broken", "Not up to date", error instanceof Refused ? error.message : "Something on this page went wrong.");
  } finally {
    if (mine === round) {
      $("main").setAttribute("aria-busy", "false");
      timer = setTimeout(() => (document.hidden ? (timer = null) : load()), REFRESH);
    }
  }
}

// Clicks outnumber everything: of all events, money and leads keep at least two thirds of the list.
function mix(list) {
  if (state.kind !== "all") return list;
  const rare = list.filter((event) => event.event !== "click").slice(0, 6);
  const clicks = list.filter((event) => event.event === "click").slice(0, ROWS - rare.length);
  return [...rare, ...clicks].sort((a, b) => (a.timestamp < b.timestamp ? 1 : -1));
}

async function workspaces() {
  const found = await get("/workspaces");
  if (found.length > 1 && !found.some((row) => row.id === state.workspace)) state.workspace = found[0].id;
  const current = found.find((row) => row.id === state.workspace) ?? found[0];
  options("workspace", found.map((row) => row.id));
  options("mode", [...new Set(["live", ...(current?.modes ?? []), state.mode])]);
  $("workspace-label").hidden = found.length < 2;
  $("mode-label").hidden = (current?.modes ?? []).every((mode) => mode === "live") && state.mode === "live";
}

function options(name, values, first) {
  const select = $("controls").elements[name];
  const all = values.includes(state[name]) ? values : [...values, state[name]];
  if (select.dataset.values !== all.join("\n")) {
    select.dataset.values = all.join("\n");
    select.replaceChildren(...all.map((value) => make("option", { value }, value || first || value)));
  }
  select.value = state[name] || all[0] || "";
}

function chart() {
  const { series, currency } = shown;
  if (!series) return;
  const nothing = series.every((row) => !row.clicks && !row.leads && !row.sales);
  if (nothing) $("chart").replaceChildren(empty("No clicks in this period", "Choose a longer period, or share a link."));
  else draw($("chart"), series, state.metric, currency);
  $("series-table").replaceChildren(table(series, currency));
}

async function look(id) {
  $("payment-id").value = id;
  $("payment").replaceChildren(make("div", { class: "wait" }));
  $("payment-title").scrollIntoView({ block: "nearest" });
  try {
    $("payment").replaceChildren(panels.payment(await get(`/payments/${encodeURIComponent(id)}`, scope())));
  } catch (error) {
    $("payment").replaceChildren(make("p", {}, error instanceof Refused ? error.message : "This payment cannot be shown."));
  }
}

function say(kind, text, problem) {
  $("status").className = `status ${kind}`;
  if ($("status-text").textContent !== text) $("status-text").textContent = text;
  $("banner").hidden = !problem;
  $("banner-text").textContent = problem ?? "";
  if (!problem || shown.series) return;
  for (const id of ["cards", "chart", "funnel", "partners", "events", "lost"]) $(id).replaceChildren(id === "cards" ? "" : empty("Not available", ""));
}

function set(change) {
  Object.assign(state, change);
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value && value !== DEFAULTS[name]) query.set(name, value);
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  tabs();
  chart();
  load();
}

// Radio groups: one stop for the Tab key, arrows choose.
function tabs() {
  for (const [id, [name, choices]] of Object.entries(CHOICES)) {
    if (!choices.some(([key]) => key === state[name])) state[name] = DEFAULTS[name];
    if (!$(id).childElementCount) {
      $(id).append(...choices.map(([key, label]) => make("button", { type: "button", role: "radio", "data-key": key, onclick: () => set({ [name]: key }) }, label)));
      $(id).addEventListener("keydown", (event) => {
        const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!move) return;
        event.preventDefault();
        const at = choices.findIndex(([key]) => key === state[name]);
        const next = (at + move + choices.length) % choices.length;
        set({ [name]: choices[next][0] });
        $(id).children[next].focus();
      });
    }
    for (const button of $(id).children) {
      const on = button.dataset.key === state[name];
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
  }
}

function waiting() {
  $("cards").replaceChildren(...Array.from({ length: 6 }, () => make("div", { class: "figure" }, make("div", { class: "wait" }), make("div", { class: "value" }, " "), make("div", { class: "more" }, " "))));
  for (const id of ["chart", "funnel", "partners", "events", "lost"]) $(id).replaceChildren(make("div", { class: "wait tall" }));
}

$("controls").elements.interval.value = state.interval;
if (!$("controls").elements.interval.value) $("controls").elements.interval.value = state.interval = DEFAULTS.interval;
$("controls").addEventListener("change", (event) => set({ [event.target.name]: event.target.value }));
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("retry").addEventListener("click", load);
$("lookup").addEventListener("submit", (event) => {
  event.preventDefault();
  look($("payment-id").value.trim());
});
document.addEventListener("visibilitychange", () => !document.hidden && timer == null && load());
let resizing;
new ResizeObserver(() => {
  cancelAnimationFrame(resizing);
  resizing = requestAnimationFrame(chart);
}).observe($("series-title").parentElement);

waiting();
tabs();
load();
