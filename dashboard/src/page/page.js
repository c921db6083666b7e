// A page of its own kind: what it shows lives in the URL, and it is asked for again while somebody looks.

import { $, carry, fromUrl, say, toUrl, told, workspaces } from "./common.js";

const BASE = { workspace: "", mode: "live" };

// `load` asks and draws; `failed` draws what stands there after the first try failed; `every`: milliseconds; `scoped`:
// whether it is about a workspace.
export function page({ defaults = {}, load, failed, every, scoped = true }) {
  const all = { ...BASE, ...defaults };
  const state = fromUrl(all);
  let round = 0;
  let timer = null;
  let drawn = false;

  async function run() {
    clearTimeout(timer);
    const mine = ++round;
    const stale = () => mine !== round;
    try {
      if (scoped) await workspaces(state);
      else carry(state);
      await load(state, { workspace: state.workspace, mode: state.mode }, stale);
      if (stale()) return;
      drawn = true;
      say("live", every ? "Live" : "Up to date");
    } catch (error) {
      if (stale()) return;
      say("broken", "Not up to date", told(error));
      if (!drawn) failed();
    } finally {
      if (!stale() && every) timer = setTimeout(() => (document.hidden ? (timer = null) : run()), every);
    }
  }

  function set(change) {
    Object.assign(state, change);
    toUrl(state, all);
    run();
  }

  for (const field of $("controls").elements) if (field.name in defaults) field.value = state[field.name];
  $("controls").addEventListener("change", (event) => set({ [event.target.name]: event.target.value.trim() }));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("retry").addEventListener("click", run);
  if (every) document.addEventListener("visibilitychange", () => !document.hidden && timer === null && run());
  run();
  return { state, set, run };
}
