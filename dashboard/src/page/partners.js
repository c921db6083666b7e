// Partners: what they brought, what they earned, and what they are owed.

import { address, drawer } from "./common.js";
import { count, make, moment, money } from "./format.js";
import { listing } from "./listing.js";
import { tag } from "./words.js";

// One amount for each currency: they cannot be added.
const amounts = (partner, name) =>
  partner.balances.some((row) => row[name])
    ? partner.balances.map((row) => make("span", { class: "under" }, money(row[name], row.currency)))
    : make("span", { class: "quiet" }, "–");

const STATES = [
  ["pending", "Pending", "earned, and within the holding period or not decided"],
  ["approved", "Approved", "decided, and not paid"],
  ["due", "Due now", "of these two, what may be paid today"],
  ["withheld", "Withheld", "kept until somebody decides"],
  ["paid", "Paid", "with a payout"],
  ["earned", "Earned", "in all, less what was taken back"],
];

function details(partner, scope) {
  const line = (title, value) => value && [make("dt", {}, title), make("dd", {}, value)];
  const to = (path, text, more) => make("a", { href: address(path, { ...scope, ...more }) }, text);
  drawer(partner.name, make("dl", { class: "pay" },
    line("Status", partner.status && tag(partner.status)),
    line("Address", partner.email),
    line("Country", partner.country),
    line("Program", partner.programId),
    line("Group", partner.groupId),
    line("Your ID", partner.tenantId),
    line("Since", partner.createdAt && moment(partner.createdAt)),
    line("ID", partner.id)),
  make("h2", {}, "Balance"),
  partner.balances.length
    ? make("table", {}, make("tbody", {}, STATES.map(([name, title, hint]) => make("tr", {},
      make("td", {}, title, make("small", { class: "quiet under" }, hint)), make("td", { class: "num" }, amounts(partner, name))))))
    : make("p", { class: "quiet" }, "Nothing earned yet."),
  partner.links?.length && [make("h3", {}, "Links"), make("ul", { class: "terms" }, partner.links.map((link) =>
    make("li", {}, `${link.domain}/${link.key}`, make("small", {}, link.url))))],
  partner.coupons?.length && [make("h3", {}, "Codes"), make("ul", { class: "terms" }, partner.coupons.map(({ code, active }) =>
    make("li", {}, code, !active && [" ", tag("inactive")])))],
  make("p", { class: "note row-actions" },
    to("/", "Overview", { partnerId: partner.id, interval: "all" }),
    to("/earnings", "Commissions", { partnerId: partner.id }),
    to("/pages/links", "Links", { partnerId: partner.id }),
    to("/pages/conversions", "Conversions", { partnerId: partner.id, interval: "all" })));
}

listing({
  path: "/partners/figures",
  csv: true,
  defaults: { search: "", due: "", sortBy: "saleAmount" },
  parameters: ({ search, due, sortBy }) => ({ search, due, sortBy }),
  head: [["Partner"], ["Clicks", "num"], ["Leads", "num"], ["Sales", "num"], ["Revenue", "num"], ["Pending", "num"], ["Approved", "num"],
    ["Withheld", "num"], ["Paid", "num"], ["Due now", "num"]],
  row: (partner, scope) => [
    [make("button", { type: "button", class: "link", onclick: () => details(partner, scope) }, partner.name),
      partner.status && partner.status !== "approved" && [" ", tag(partner.status)],
      make("small", { class: "quiet under" }, partner.email || (partner.name === partner.id ? " " : partner.id))],
    count(partner.clicks), count(partner.leads), count(partner.sales),
    money(partner.saleAmount, partner.currency),
    ...["pending", "approved", "withheld", "paid"].map((name) => amounts(partner, name)),
    make("b", {}, amounts(partner, "due")),
  ],
  nothing: ["No partner", "Declare partners in program.yaml, or create them by the API: each shows here with what it is owed. Or choose other filters."],
});
