// Who bought, who brought them, and what became of each.

import { drawer, get, told } from "./common.js";
import { count, make, moment, money } from "./format.js";
import { listing } from "./listing.js";
import * as panels from "./panels.js";

const day = (text) => (text ? new Date(text).toLocaleDateString(undefined, { dateStyle: "medium" }) : "–");

async function journey(customer, scope) {
  const list = make("div", {}, make("div", { class: "wait" }));
  const line = (name, value) => value && [make("dt", {}, name), make("dd", {}, value)];
  drawer(customer.name || customer.externalId, make("dl", { class: "pay" },
    line("ID", customer.externalId),
    line("Address", customer.email),
    line("Country", customer.country),
    line("Since", moment(customer.createdAt)),
    line("First sale", customer.firstSaleAt && moment(customer.firstSaleAt)),
    line("Brought by", customer.partner?.name)),
  make("h2", {}, "The journey"), list);
  try {
    const asked = { ...scope, interval: "all", customerId: customer.externalId, sortOrder: "asc", limit: 200 };
    const kinds = await Promise.all(["leads", "sales", "refunds"].map((event) => get("/events", { ...asked, event })));
    const events = kinds.flat();
    // Its clicks, as the events name them: each once, where it happened.
    const clicks = new Map(events.filter((event) => event.click?.id).map((event) => [event.click.id,
      { event: "click", timestamp: event.click.timestamp, click: event.click, link: event.link, partner: event.partner }]));
    const all = [...clicks.values(), ...events].sort((a, b) => (a.timestamp > b.timestamp ? 1 : a.timestamp < b.timestamp ? -1 : 0));
    list.replaceChildren(make("ol", { class: "events" }, all.map((event) => panels.event(event, () => drawer("Event", panels.details(event))))));
  } catch (error) {
    list.replaceChildren(make("p", { class: "quiet" }, told(error)));
  }
}

listing({
  path: "/customers",
  defaults: { search: "", sortBy: "createdAt" },
  parameters: (state) => ({ search: state.search, sortBy: state.sortBy, includeExpandedFields: "true" }),
  head: [["Customer"], ["Country"], ["Brought by"], ["Sales", "num"], ["Revenue", "num"], ["First sale", "num"], ["Since", "num"]],
  row: (customer, scope) => [
    [make("button", { type: "button", class: "link", onclick: () => journey(customer, scope) }, customer.name || customer.externalId),
      make("small", { class: "quiet under" }, customer.email || (customer.name ? customer.externalId : " "))],
    customer.country ?? "–",
    customer.partner ? make("span", { class: "tag" }, customer.partner.name) : make("span", { class: "quiet" }, "Nobody"),
    count(customer.sales),
    money(customer.saleAmount, customer.currency),
    day(customer.firstSaleAt),
    day(customer.createdAt),
  ],
  nothing: ["No customer yet", "Whoever signs up or pays is listed here, with the click that brought them."],
});
