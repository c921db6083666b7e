// A list of the API as a table: filters in the URL, the next rows on demand.

import { $, address, fromUrl, get, say, toUrl, told, workspaces } from "./common.js";
import { empty, make } from "./format.js";

const SIZE = 50;

// `nothing`: title and hint of an empty list; `row`: the cells of one row and what a click on it shows; `csv`: whether
// the operation writes files.
export function listing({ path, defaults, parameters, head, row, nothing, csv }) {
  const state = fromUrl({ workspace: "", mode: "live", ...defaults });
  const scope = () => ({ workspace: state.workspace, mode: state.mode });
  let round = 0;

  async function load(after) {
    const mine = ++round;
    if (!after) $("rows").replaceChildren(make("div", { class: "wait tall" }));
    try {
      if (!after) await workspaces(state);
      const rows = await get(path, { ...scope(), ...parameters(state), pageSize: SIZE, startingAfter: after });
      if (mine !== round) return;
      say("live", "Up to date");
      show(rows, after);
      $("about").replaceChildren(...Object.keys(defaults).filter((name) => state[name] && !$("controls").elements[name]).map(only));
      $("csv").hidden = !csv || !rows.length;
      $("csv").href = address(path, { ...scope(), ...parameters(state), format: "csv" });
    } catch (error) {
      if (mine !== round) return;
      say("broken", "Not up to date", told(error));
      if (!after) $("rows").replaceChildren(empty("Not available", ""));
    } finally {
      if (mine === round) $("main").setAttribute("aria-busy", "false");
    }
  }

  function show(rows, after) {
    if (!after && !rows.length) return $("rows").replaceChildren(empty(...nothing));
    if (!after) {
      $("rows").replaceChildren(
        make("div", { class: "scroll all", tabindex: "0", role: "region", "aria-labelledby": "rows-title" }, make("table", {},
          make("thead", {}, make("tr", {}, head.map(([text, kind]) => make("th", { scope: "col", class: kind }, text)))),
          make("tbody"))),
        make("p", { class: "more-rows" }));
    }
    const body = $("rows").querySelector("tbody");
    body.append(...rows.map((item) => make("tr", {}, row(item, scope()).map((cell, index) => make("td", { class: head[index][1] }, cell)))));
    const more = rows.length === SIZE && make("button", { type: "button", onclick: () => load(rows.at(-1).id) }, "Show more");
    $("rows").querySelector(".more-rows").replaceChildren(more || `${body.childElementCount} in all`);
  }

  // A filter without a field of its own came with a link from another page.
  function only(name) {
    return make("span", {}, `Only ${name.replace(/Id$/, "")} ${state[name]} `,
      make("button", { type: "button", class: "link", onclick: () => set({ [name]: "" }) }, "Show all"));
  }

  function set(change) {
    Object.assign(state, change);
    toUrl(state, { workspace: "", mode: "live", ...defaults });
    load();
  }

  for (const field of $("controls").elements) if (field.name in defaults) field.value = state[field.name];
  $("controls").addEventListener("change", (event) => set({ [event.target.name]: event.target.value.trim() }));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("retry").addEventListener("click", () => load());
  load();
}
