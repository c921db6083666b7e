// Short links and what each brought.

import { address, drawer } from "./common.js";
import { count, make, moment, money, share } from "./format.js";
import { listing } from "./listing.js";

const name = (link) => (link.domain ? `${link.domain}/${link.key}` : link.id);

function details(link, scope) {
  const line = (title, value) => value && [make("dt", {}, title), make("dd", {}, value)];
  const to = (path, text, more) => make("a", { href: address(path, { ...scope, ...more }) }, text);
  drawer(name(link), make("dl", { class: "pay" },
    line("Leads to", link.url),
    line("Partner", link.partner?.name),
    line("Program", link.programId),
    line("Clicks", count(link.clicks)),
    line("Leads", `${count(link.leads)}${link.clicks ? `, ${share(link.leads / link.clicks)} of clicks` : ""}`),
    line("Sales", `${count(link.sales)}${link.clicks ? `, ${share(link.sales / link.clicks)} of clicks` : ""}`),
    line("Revenue", money(link.saleAmount, link.currency)),
    line("Refunded", link.refundAmount ? money(link.refundAmount, link.currency) : null),
    line("Earnings", money(link.earnings, link.currency)),
    line("Last conversion", link.lastConversionAt && moment(link.lastConversionAt)),
    line("Conversions", link.trackConversion === false ? "are not counted for this link" : null),
    line("Created", link.createdAt && moment(link.createdAt)),
    line("Expires", link.expiresAt && moment(link.expiresAt)),
    line("Note", link.comments),
    line("ID", link.id)),
  make("div", { class: "row-actions" },
    to("/", "Overview of this link", { linkId: link.id, interval: "all" }),
    to("/pages/conversions", "Its conversions", { linkId: link.id, interval: "all" })));
}

listing({
  path: "/links/figures",
  csv: true,
  defaults: { search: "", partnerId: "", sortBy: "clicks" },
  parameters: ({ search, partnerId, sortBy }) => ({ search, partnerId, sortBy }),
  head: [["Link"], ["Partner"], ["Clicks", "num"], ["Leads", "num"], ["Sales", "num"], ["Revenue", "num"], ["Earnings", "num"]],
  row: (link, scope) => [
    [make("button", { type: "button", class: "link", onclick: () => details(link, scope) }, name(link)),
      link.archived && [" ", make("span", { class: "tag off" }, "archived")],
      make("small", { class: "quiet under" }, make("span", { class: "clip" }, link.url ?? " "))],
    link.partner ? make("span", { class: "tag" }, link.partner.name) : make("span", { class: "quiet" }, "Nobody"),
    count(link.clicks), count(link.leads), count(link.sales),
    money(link.saleAmount, link.currency),
    money(link.earnings, link.currency),
  ],
  nothing: ["No link", "Declare links in program.yaml, or create them by the API: each shows here with its clicks. Or choose other filters."],
});
