// What every page does: ask the API, say how it stands, choose workspace and mode, keep what is shown in the URL.

import { make } from "./format.js";

export const $ = (id) => document.getElementById(id);

export class Refused extends Error {}

export const get = (path, parameters = {}) => ask(address(path, parameters), {});

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

async function ask(url, request) {
  let response;
  try {
    response = await fetch(url, { ...request, signal: AbortSignal.timeout(30000) });
  } catch {
    throw new Refused("The dashboard does not answer. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(body?.error?.message ?? `The dashboard answered ${response.status}.`);
  return body;
}

export function say(kind, text, problem) {
  $("status").className = `status ${kind}`;
  if ($("status-text").textContent !== text) $("status-text").textContent = text;
  $("banner").hidden = !problem;
  $("banner-text").textContent = problem ?? "";
  if (kind) $("main").setAttribute("aria-busy", "false");
}

export function told(error) {
  if (!(error instanceof Refused)) console.error(error);
  return error instanceof Refused ? error.message : "Something on this page went wrong.";
}

// Names that are not in the defaults are nobody's.
export function fromUrl(defaults) {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, given.get(name) ?? value]));
}

export function toUrl(state, defaults) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value && value !== defaults[name]) query.set(name, value);
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}

export function options(name, values, chosen, first) {
  const select = $("controls").elements[name];
  const all = values.includes(chosen) ? values : [...values, chosen];
  if (select.dataset.values !== all.join("\n")) {
    select.dataset.values = all.join("\n");
    select.replaceChildren(...all.map((value) => make("option", { value }, value || first || value)));
  }
  select.value = chosen || all[0] || "";
}

export async function workspaces(state) {
  const found = await get("/workspaces");
  if (found.length > 1 && !found.some((row) => row.id === state.workspace)) state.workspace = found[0].id;
  const current = found.find((row) => row.id === state.workspace) ?? found[0];
  carry(state);
  options("workspace", found.map((row) => row.id), state.workspace);
  options("mode", [...new Set(["live", ...(current?.modes ?? []), state.mode])], state.mode);
  $("workspace-label").hidden = found.length < 2;
  $("mode-label").hidden = (current?.modes ?? []).every((mode) => mode === "live") && state.mode === "live";
}

// The other pages show the same workspace and mode.
export function carry({ workspace, mode }) {
  for (const link of document.querySelectorAll(".pages a")) link.href = address(link.pathname, { workspace, mode: mode === "live" ? "" : mode });
}

// A path with those parameters that have a value.
export function address(path, parameters) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  return query.size ? `${path}?${query}` : path;
}

// A radio group: one stop for the Tab key, arrows choose.
export function radios(id, choices, chosen, choose) {
  const group = $(id);
  if (!group.childElementCount) {
    group.append(...choices.map(([key, label]) => make("button", { type: "button", role: "radio", "data-key": key, onclick: () => choose(key) }, label)));
    group.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const at = choices.findIndex(([key]) => key === group.querySelector("[aria-checked=true]")?.dataset.key);
      const next = (at + move + choices.length) % choices.length;
      choose(choices[next][0]);
      group.children[next].focus();
    });
  }
  for (const button of group.children) {
    const on = button.dataset.key === chosen;
    button.setAttribute("aria-checked", String(on));
    button.tabIndex = on ? 0 : -1;
  }
}

// Details beside the page; a click next to them closes them.
export function drawer(title, ...content) {
  $("drawer-title").textContent = title;
  $("drawer-body").replaceChildren(...content.flat(Infinity).filter(Boolean));
  // No value: false would keep links in it from leading anywhere.
  $("drawer").onclick = (event) => {
    if (event.target === $("drawer")) $("drawer").close();
  };
  if (!$("drawer").open) $("drawer").showModal();
}
