// What partners earned, what was taken back, and why.

import { drawer, get, told } from "./common.js";
import { make, moment, money } from "./format.js";
import { listing } from "./listing.js";
import * as panels from "./panels.js";

async function explain(commission, scope) {
  const why = make("div", {}, make("div", { class: "wait" }));
  const line = (name, value) => value && [make("dt", {}, name), make("dd", {}, value)];
  drawer(money(commission.earnings, commission.currency), make("dl", { class: "pay" },
    line("Partner", commission.partner.name),
    line("Status", commission.status),
    line("At", moment(commission.createdAt)),
    line("Note", commission.description),
    line("Customer", commission.customer?.name || commission.customer?.externalId),
    line("Invoice", commission.invoiceId),
    line("ID", commission.id)), why);
  if (!commission.invoiceId) return why.replaceChildren();
  try {
    const data = await get(`/payments/${encodeURIComponent(commission.invoiceId)}`, scope);
    why.replaceChildren(make("h2", {}, "The payment"), panels.payment(data));
  } catch (error) {
    why.replaceChildren(make("p", { class: "quiet" }, told(error)));
  }
}

listing({
  path: "/commissions",
  defaults: { status: "", type: "", partnerId: "", interval: "all", sortBy: "createdAt" },
  parameters: ({ status, type, partnerId, interval, sortBy }) => ({ status, type, partnerId, interval, sortBy }),
  head: [["Partner"], ["Type"], ["Status"], ["Customer"], ["Sale", "num"], ["Earned", "num"], ["When", "num"]],
  row: (commission, scope) => [
    make("button", { type: "button", class: "link", onclick: () => explain(commission, scope) }, commission.partner.name),
    commission.type,
    make("span", { class: commission.status === "canceled" || commission.status === "hold" ? "tag bad" : "tag" }, commission.status),
    commission.customer?.name || commission.customer?.externalId || "–",
    commission.amount ? money(commission.amount, commission.currency) : "–",
    make("span", { class: commission.earnings < 0 ? "back" : null }, money(commission.earnings, commission.currency)),
    moment(commission.createdAt),
  ],
  nothing: ["No commission", "What partners earn is listed here as soon as a payment comes. Or choose other filters."],
});
