// The parts of the page, each from one answer of the API. No fetching, no state.

import { ago, count, duration, empty, make, moment, money, share } from "./format.js";
import { reason } from "./words.js";

function delta(value, before) {
  if (!before) return make("span", {}, before === 0 && value > 0 ? "none in the period before" : "");
  const change = (value - before) / before;
  if (Math.abs(change) < .0005) return "as before";
  const text = `${change >= 0 ? "▲" : "▼"} ${share(Math.abs(change), Math.abs(change) < .1 ? 1 : 0)}`;
  return make("span", { title: "against the same length of time before" },
    make("span", { class: change >= 0 ? "up" : "down" }, text), " vs. before");
}

export function cards(data) {
  const cash = (amount) => money(amount, data.currency);
  const figure = (name, value, more) => make("div", { class: "figure" },
    make("div", { class: "name" }, name), make("div", { class: "value" }, value), make("div", { class: "more" }, more));
  const earned = data.totalAmount > 0 ? data.saleAmount / data.totalAmount : null;
  return [
    figure("Clicks", count(data.clicks), delta(data.clicks, data.previous.clicks)),
    figure("Leads", count(data.leads), delta(data.leads, data.previous.leads)),
    figure("Sales", count(data.sales), delta(data.sales, data.previous.sales)),
    figure("Attributed revenue", cash(data.saleAmount), delta(data.saleAmount, data.previous.saleAmount)),
    figure("Revenue after refunds", cash(data.netAmount), `all sales, less ${cash(data.refundAmount)} refunded`),
    figure("Commission", cash(data.commission), earned == null ? "" : `${share(earned, 0)} of revenue is attributed`),
  ];
}

export function funnel(data, currency) {
  const first = data.steps[0].count;
  if (data.steps.every((step) => step.count === 0)) {
    return [empty("Nothing yet in this period", "Share a link: its first click shows here within a second.")];
  }
  const names = { clicks: "Clicks", leads: "Leads", sales: "Sales" };
  const most = Math.max(...data.steps.map((step) => step.count), first);
  const rows = data.steps.flatMap((step) => {
    const bar = make("i", { class: step.step });
    // The root keeps a step of a few percent visible; the figures beside it are exact.
    bar.style.width = step.count ? `${Math.max(Math.sqrt(step.count / most) * 100, 1.5)}%` : "0";
    const drop = step.conversionRate == null ? null : make("p", { class: "drop" },
      make("b", {}, share(step.conversionRate)), ` go on, ${count(step.dropOff)} drop off`);
    return [drop, make("div", { class: "step" },
      make("span", {}, names[step.step]), make("div", { class: "bar", "aria-hidden": "true" }, bar),
      make("span", { class: "count" }, count(step.count)))];
  });
  const sale = data.steps.at(-1);
  const time = data.medianSecondsToConvert;
  return [...rows, make("div", { class: "facts" },
    make("span", {}, make("b", {}, share(sale.overallRate, 2)), " of clicks buy"),
    make("span", {}, "Median to lead ", make("b", {}, duration(time.lead))),
    make("span", {}, "Median to sale ", make("b", {}, duration(time.sale))),
    make("span", {}, make("b", {}, money(sale.saleAmount, currency)), data.basis === "cohort" ? " from these clicks so far" : " in first sales"),
    sale.recurringSales > 0 && make("span", {}, make("b", {}, count(sale.recurringSales)), " renewals beside")),
  make("p", { class: "quiet hidden" }, "Bars are drawn on a square root scale.")];
}

export function partners(rows, currency, pick) {
  const shown = rows.filter((row) => row.partnerId);
  const nobody = rows.filter((row) => !row.partnerId);
  if (!shown.length) return empty("No partner brought anything in this period", "Give a partner a link or a coupon code.");
  shown.sort((a, b) => b.saleAmount - a.saleAmount || b.clicks - a.clicks);
  const head = ["Partner", "Clicks", "Leads", "Sales", "Revenue"];
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Partners" }, make("table", {},
    make("thead", {}, make("tr", {}, head.map((text, index) => make("th", { scope: "col", class: index ? "num" : null }, text)))),
    make("tbody", {}, [...shown.slice(0, 50), ...nobody].map((row) => make("tr", {},
      make("td", {}, row.partnerId
        ? make("button", { type: "button", class: "link", onclick: () => pick(row.partnerId) }, row.partnerId)
        : make("span", { class: "quiet" }, "No partner")),
      [row.clicks, row.leads, row.sales].map((value) => make("td", { class: "num" }, count(value))),
      make("td", { class: "num" }, money(row.saleAmount, currency)))))));
}

function describe(event) {
  const by = event.partner ? event.partner.id : null;
  const via = event.coupon ? `coupon ${event.coupon}` : event.link?.id ? `${event.link.domain}/${event.link.key}` : "";
  const place = event.click ? [event.click.city, event.click.country].filter(Boolean).join(", ") : "";
  const who = event.customer?.externalId;
  const about = {
    click: { class: "clicks", title: by ? `Click for ${by}` : "Click", more: [via, place, event.click?.device] },
    lead: { class: "leads", title: event.eventName || "Lead", more: [who, by && `by ${by}`, via] },
    sale: { class: "sales", title: event.eventName || "Sale", more: [who, by && `by ${by}`, via] },
    refund: { class: "refunds", title: { dispute: "Dispute", credit_note: "Credit note" }[event.refund?.kind] || "Refund", more: [who, by && `by ${by}`, via] },
  };
  return about[event.event] ?? { class: "", title: event.eventName || event.event, more: [] };
}

export function event(event, look) {
  const { class: kind, title, more } = describe(event);
  const amount = event.sale ? money(event.sale.amount, event.sale.currency)
    : event.refund ? `−${money(event.refund.amount, event.refund.currency)}` : null;
  return make("li", {}, make("span", { class: `mark ${kind}`, "aria-hidden": "true" }),
    make("div", { class: "what" },
      look ? make("button", { type: "button", class: "link", onclick: look }, title) : title,
      event.reason ? [" ", make("span", { class: "tag bad" }, reason(event.reason)[0])] : null,
      make("small", {}, more.filter(Boolean).join(" · ") || " ")),
    make("div", { class: "when" }, amount && make("b", { class: event.refund ? "back" : null }, amount),
      make("time", { datetime: event.timestamp, title: moment(event.timestamp) }, ago(event.timestamp))));
}

export const paymentOf = (event) => (event.event === "sale" ? event.eventId : event.refund?.conversionId);

export function events(list, look) {
  if (!list.length) return empty("No events in this period", "Clicks, leads, sales and refunds show here as they happen.");
  return make("ul", { class: "events" }, list.map((item) => {
    const id = paymentOf(item);
    return event(item, id && (() => look(id)));
  }));
}

export function details(event) {
  const { partner } = event;
  const [click, link] = [event.click, event.link].map((part) => (part?.id ? part : null));
  const line = (name, value) => value && [make("dt", {}, name), make("dd", {}, value)];
  return make("div", {}, make("dl", { class: "pay" },
    line("Event", describe(event).title),
    line("At", moment(event.timestamp)),
    line("Amount", event.sale && money(event.sale.amount, event.sale.currency)),
    line("Taken back", event.refund && money(event.refund.amount, event.refund.currency)),
    line("Commission", event.sale && money(event.commission, event.sale.currency)),
    line("Partner", partner?.id),
    line("Coupon", event.coupon),
    line("Link", link && `${link.domain}/${link.key}`),
    line("Customer", event.customer?.externalId),
    line("Attributed by", event.attributedBy),
    line("Not attributed", event.reason && reason(event.reason)[0]),
    line("Flags", event.flags?.join(", ")),
    line("Click", click && `${click.id} · ${moment(click.timestamp)}`),
    line("From", click && [click.city, click.region, click.country].filter(Boolean).join(", ")),
    line("Device", click && [click.device, click.browser, click.os].filter(Boolean).join(" · ")),
    line("Came from", click?.referer),
    line("Campaign", click && [click.utm_source, click.utm_medium, click.utm_campaign].filter(Boolean).join(" / "))),
  make("details", { class: "data" }, make("summary", {}, "As data"), make("pre", {}, JSON.stringify(event, null, 2))));
}

export function lost(data, partner) {
  const { unattributed, currency, totalAmount } = data;
  if (partner) return empty("Not shown for one partner or link", "Sales that nobody earned belong to none: choose all.");
  if (!unattributed.sales) return empty("Every sale has found who earned it", "Sales without a touch would be listed here with their reason.");
  const most = Math.max(...unattributed.reasons.map((row) => Math.abs(row.saleAmount)), 1);
  return make("div", {},
    make("p", {}, make("span", { class: "big" }, money(unattributed.saleAmount, currency)),
      make("span", { class: "quiet" }, ` in ${count(unattributed.sales)} sales` +
        (totalAmount > 0 ? `, ${share(unattributed.saleAmount / totalAmount)} of revenue` : ""))),
    make("ul", { class: "reasons" }, unattributed.reasons.map((row) => {
      const bar = make("i");
      bar.style.width = `${(Math.abs(row.saleAmount) / most) * 100}%`;
      const [name, hint] = reason(row.reason);
      return make("li", {},
        make("div", { class: "row" }, make("span", {}, name), make("span", {}, `${money(row.saleAmount, currency)} · ${count(row.sales)}`)),
        make("div", { class: "bar thin", "aria-hidden": "true" }, bar),
        hint && make("small", { class: "quiet" }, hint));
    })));
}

export function payment(data) {
  const { conversion, partner, net } = data;
  const line = (name, ...value) => [make("dt", {}, name), make("dd", {}, ...value)];
  const credit = partner ? make("span", { class: "tag" }, partner.id) : make("span", { class: "tag bad" }, reason(conversion.reason)[0]);
  return make("div", {}, make("dl", { class: "pay" },
    line("Earned by", credit, partner ? ` by ${conversion.attributedBy}` + (data.coupon ? ` ${data.coupon}` : "") : ` ${reason(conversion.reason)[1]}`),
    line("Payment", `${money(conversion.amount, conversion.currency)} · ${conversion.eventName} · ${moment(conversion.timestamp)}`),
    line("Refunded", money(net.refunded, net.currency)),
    line("Stays", make("b", {}, money(net.amount, net.currency)), ` · commission ${money(net.commission, net.currency)}`),
    line("Status", conversion.status.replaceAll("_", " ")),
    line("IDs", conversion.keys.join(", "))),
  make("details", { class: "data" }, make("summary", {}, "Why"), make("pre", {}, JSON.stringify(data.explanation, null, 2))));
}
