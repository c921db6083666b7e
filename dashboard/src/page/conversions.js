// The report: every conversion that stands, by what it is, whose it is and any of its IDs.

import { drawer, get, told } from "./common.js";
import { count, make, moment, money, zone } from "./format.js";
import { listing } from "./listing.js";
import { reason, story, tag } from "./words.js";

async function details(conversion, scope) {
  const line = (title, value) => value && [make("dt", {}, title), make("dd", {}, value)];
  const why = make("div", {}, make("div", { class: "wait" }));
  drawer(conversion.eventName || conversion.type, why, make("dl", { class: "pay" },
    line("Type", conversion.type),
    line("Quantity", conversion.quantity > 1 ? count(conversion.quantity) : null),
    line("Customer", conversion.customer),
    line("Partner", conversion.partner?.name),
    line("Program", conversion.programId),
    line("Coupon", conversion.coupon),
    line("Link", conversion.link),
    line("Click", conversion.clickId),
    line("Country", conversion.country),
    line("IDs", conversion.keys.join(", ")),
    line("ID", conversion.id)));
  try {
    why.replaceChildren(story(await get(`/payments/${encodeURIComponent(conversion.id)}`, scope)));
  } catch (error) {
    why.replaceChildren(make("p", { class: "quiet" }, told(error)));
  }
}

const NAMES = { sale: "Sale", lead: "Lead", redemption: "Redemption", subscription: "Subscription" };
const FILTERS = { type: "", status: "", informational: "", partnerId: "", coupon: "", externalId: "", linkId: "", interval: "30d", sortBy: "createdAt" };

listing({
  path: "/conversions",
  csv: true,
  defaults: FILTERS,
  parameters: (state) => ({ ...Object.fromEntries(Object.keys(FILTERS).map((name) => [name, state[name]])), timezone: zone }),
  head: [["Conversion"], ["Status"], ["Partner"], ["Coupon"], ["Customer"], ["Amount", "num"], ["Commission", "num"], ["When", "num"]],
  row: (conversion, scope) => [
    [make("button", { type: "button", class: "link", onclick: () => details(conversion, scope) }, conversion.eventName || NAMES[conversion.type]),
      make("small", { class: "quiet under" }, NAMES[conversion.type] + (conversion.informational ? ", informational" : ""))],
    tag(conversion.status),
    conversion.partner ? make("span", { class: "tag" }, conversion.partner.name)
      : make("span", { class: "quiet", title: reason(conversion.reason)[1] }, conversion.reason ? reason(conversion.reason)[0] : "Nobody"),
    conversion.coupon ?? "–",
    make("span", { class: "clip" }, conversion.customer ?? "–"),
    conversion.informational ? make("span", { class: "quiet" }, "–") : money(conversion.amount, conversion.currency),
    conversion.commission ? money(conversion.commission, conversion.currency) : make("span", { class: "quiet" }, "–"),
    moment(conversion.createdAt),
  ],
  nothing: ["No conversion", "Leads, sales and redemptions are listed here a second after they happen. Or choose other filters or a longer period."],
});
