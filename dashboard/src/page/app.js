// The page: what to show lives in the URL; every answer is asked for again while the page is visible.

import { METRICS, draw, table } from "./chart.js";
import { $, Refused, fromUrl, get, options, radios, say as tell, toUrl, told, workspaces } from "./common.js";
import { count, empty, make, zone } from "./format.js";
import * as panels from "./panels.js";

const REFRESH = 5000;
const ROWS = 10;
const DEFAULTS = { interval: "30d", mode: "live", workspace: "", partnerId: "", linkId: "", metric: "clicks", basis: "period", kind: "all" };
const CHOICES = {
  metrics: ["metric", Object.entries(METRICS).map(([key, it]) => [key, it.label])],
  bases: ["basis", [["period", "In the period"], ["cohort", "By click cohort"]]],
  kinds: ["kind", [["all", "All"], ["clicks", "Clicks"], ["leads", "Leads"], ["sales", "Sales"], ["refunds", "Refunds"]]],
};

const state = fromUrl(DEFAULTS);
const shown = { series: null, currency: "usd" };
let round = 0;
let timer;

const scope = () => ({ workspace: state.workspace, mode: state.mode });
const asked = () => ({ ...scope(), interval: state.interval, partnerId: state.partnerId, linkId: state.linkId, timezone: zone });

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
    await workspaces(state);
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
    options("partnerId", ["", ...partners.map((row) => row.partnerId).filter(Boolean).sort()], state.partnerId, "All partners");
    $("link-label").hidden = !state.linkId;
    $("link-name").textContent = state.linkId;
    put("cards", overview, () => panels.cards(overview));
    put("lost", [overview, state.partnerId, state.linkId], () => panels.lost(overview, state.partnerId || state.linkId));
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
    say("broken", "Not up to date", told(error));
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
  tell(kind, text, problem);
  if (!problem || shown.series) return;
  for (const id of ["cards", "chart", "funnel", "partners", "events", "lost"]) $(id).replaceChildren(id === "cards" ? "" : empty("Not available", ""));
}

function set(change) {
  Object.assign(state, change);
  toUrl(state, DEFAULTS);
  tabs();
  chart();
  load();
}

function tabs() {
  for (const [id, [name, choices]] of Object.entries(CHOICES)) {
    if (!choices.some(([key]) => key === state[name])) state[name] = DEFAULTS[name];
    radios(id, choices, state[name], (key) => set({ [name]: key }));
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
$("link-all").addEventListener("click", () => set({ linkId: "" }));
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
