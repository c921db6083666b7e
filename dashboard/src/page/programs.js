// Programs as they are declared: terms, rewards, members, and what they brought.

import { $, address, get } from "./common.js";
import { count, empty, make, money } from "./format.js";
import { page } from "./page.js";
import { reward, tag, terms } from "./words.js";

const card = (...content) => make("section", { class: "card" }, ...content);

function figures(program, currency) {
  const { figures: it } = program;
  const figure = (name, value) => [make("div", {}, make("dt", {}, name), make("dd", {}, value))];
  if (!it) return make("p", { class: "quiet" }, "Brought nothing yet.");
  return make("dl", { class: "figures" }, figure("Clicks", count(it.clicks)), figure("Leads", count(it.leads)), figure("Sales", count(it.sales)),
    figure("Revenue", money(it.saleAmount, currency)), figure("Refunded", money(it.refundAmount, currency)), figure("Earned", money(it.earnings, currency)));
}

function members(program, scope) {
  const all = Object.entries(program.members ?? {});
  if (!all.length) return make("p", { class: "quiet" }, "No partner takes part yet.");
  return make("p", { class: "row-actions" }, all.map(([status, number]) => make("span", {}, `${count(number)} `, tag(status))),
    make("a", { href: address("/pages/partners", scope) }, "All partners"));
}

function show(program, scope) {
  const currency = program.currency || program.figures?.currency;
  const head = make("div", { class: "head" }, make("h2", {}, program.name), make("code", {}, program.id));
  if (!program.terms) {
    return card(head, figures(program, currency),
      make("p", { class: "note" }, "Its terms are not known here: it was deleted, or this process does not read topic config."));
  }
  const { rewards, groups = [] } = program.terms;
  const list = (all) => (all.length ? make("ul", { class: "terms" }, all.map((it) => reward(it, currency))) : make("p", { class: "quiet" }, "None."));
  return card(head, figures(program, currency),
    make("h3", {}, "Rewards"), list(rewards),
    groups.map((group) => [make("h3", {}, `Rewards of group ${group.id}`), list(group.rewards)]),
    make("h3", {}, "Terms"), make("ul", { class: "terms" }, terms(program.terms)),
    make("h3", {}, "Members"), members(program, scope),
    make("details", { class: "data" }, make("summary", {}, "As declared"), make("pre", {}, JSON.stringify(program.terms, null, 2))));
}

$("programs").replaceChildren(card(make("div", { class: "wait tall" })));
page({
  async load(_, scope, stale) {
    const all = await get("/programs", scope);
    if (stale()) return;
    $("programs").replaceChildren(...(all.length ? all.map((program) => show(program, scope))
      : [card(empty("No program", "A program says who earns what: declare it in program.yaml, and `tributary apply` it."))]));
  },
  failed: () => $("programs").replaceChildren(card(empty("Not available", ""))),
});
