// Events as they happen, from /events/stream. What to show lives in the URL.
//
// They are drawn once a frame, however many came: a busy hour must not freeze the page.

import { $, drawer, fromUrl, get, radios, say, toUrl, told, workspaces } from "./common.js";
import { ago, count, empty, make } from "./format.js";
import * as panels from "./panels.js";

const ROWS = 200;
const WAITING = 1000;
const KINDS = [["", "All"], ["clicks", "Clicks"], ["leads", "Leads"], ["sales,refunds", "Money"]];
const NAMES = ["click", "lead", "sale", "refund"];

const DEFAULTS = { workspace: "", mode: "live", event: "" };

const state = fromUrl(DEFAULTS);
let source;
let waiting = [];
let passed = 0;
let paused = false;
let drawing = false;
const recent = new Set();
const came = [];

function connect() {
  source?.close();
  say("", "Connecting…");
  const query = new URLSearchParams();
  for (const name of ["workspace", "mode", "event"]) if (state[name]) query.set(name, state[name]);
  source = new EventSource(`/events/stream?${query}`);
  source.onopen = () => say("live", "Live");
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return say("broken", "Connecting again…");
    explain(`/events/stream?${query}`);
  };
  for (const name of NAMES) source.addEventListener(name, (message) => take({ ...JSON.parse(message.data), kind: name }, message.data));
  source.addEventListener("retracted", (message) => take({ kind: "retracted", ...JSON.parse(message.data) }, message.data));
}

// The browser does not tell what was answered: ask once more, and read it.
async function explain(url) {
  let problem = "The connection was lost.";
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) problem = (await answer.json())?.error?.message ?? problem;
    else await answer.body.cancel();
  } catch {
    problem = "The dashboard does not answer. Is it still running?";
  }
  say("broken", "Not connected", problem);
}

// After a broken connection the last few may come again.
function take(event, text) {
  if (recent.has(text)) return;
  recent.add(text);
  if (recent.size > 2 * WAITING) recent.delete(recent.values().next().value);
  came.push(Date.now());
  waiting.push(event);
  if (waiting.length > WAITING) passed += waiting.splice(0, waiting.length - WAITING).length;
  soon();
}

function soon() {
  if (paused) return label();
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

function draw() {
  drawing = false;
  if (paused || !waiting.length) return;
  let list = $("events").querySelector("ul");
  if (!list) $("events").replaceChildren(list = make("ul", { class: "events" }));
  const rows = [];
  for (const event of waiting.slice(-ROWS)) {
    if (event.kind === "retracted") {
      for (const row of [...rows, ...list.children]) if (row.dataset.id === event.eventId) row.firstElementChild.nextElementSibling.classList.add("gone");
      continue;
    }
    const row = panels.event(event, () => show(event));
    row.dataset.id = event.eventId ?? "";
    rows.unshift(row);
  }
  waiting = [];
  passed = 0;
  list.prepend(...rows);
  while (list.childElementCount > ROWS) list.lastElementChild.remove();
}

function label() {
  const more = waiting.length + passed;
  $("pause").textContent = paused ? (more ? `Go on (${count(more)} new)` : "Go on") : "Pause";
  $("pause").setAttribute("aria-pressed", String(paused));
}

async function show(event) {
  const { kind, ...data } = event;
  const payment = make("div");
  drawer({ click: "Click", lead: "Lead", sale: "Sale", refund: "Refund" }[kind] ?? "Event", panels.details(data), payment);
  const id = panels.paymentOf(data);
  if (!id) return;
  payment.append(make("div", { class: "wait" }));
  const scope = { workspace: state.workspace, mode: state.mode };
  try {
    payment.replaceChildren(make("h2", {}, "The payment"), panels.payment(await get(`/payments/${encodeURIComponent(id)}`, scope)));
  } catch (error) {
    payment.replaceChildren(make("p", { class: "quiet" }, told(error)));
  }
}

function set(change) {
  Object.assign(state, change);
  toUrl(state, DEFAULTS);
  waiting = [];
  recent.clear();
  nothing();
  start();
}

// Without ClickHouse there is no list of workspaces, and there are events all the same.
async function start() {
  radios("kinds", KINDS, state.event, (key) => set({ event: key }));
  await workspaces(state).catch(() => {});
  connect();
}

function nothing() {
  $("events").replaceChildren(empty("Waiting for the first event", "Open one of your links: its click shows here at once."));
}

if (!KINDS.some(([key]) => key === state.event)) state.event = "";
$("controls").addEventListener("change", (event) => set({ [event.target.name]: event.target.value }));
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("retry").addEventListener("click", start);
$("pause").addEventListener("click", () => {
  paused = !paused;
  label();
  soon();
});
setInterval(() => {
  for (const time of document.querySelectorAll("#events time")) {
    const text = ago(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
  const since = Date.now() - 10000;
  while (came.length && came[0] < since) came.shift();
  if (source?.readyState === EventSource.OPEN) say("live", came.length ? `Live, ${count(Math.ceil(came.length / 10))} a second` : "Live");
}, 5000);
nothing();
start();
