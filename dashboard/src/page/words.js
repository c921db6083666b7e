// What a payment came to and what a program promises, as sentences. No fetching, no state.

import { count, make, moment, money, share } from "./format.js";

export const REASONS = {
  no_identity: ["No identity", "Neither customer, e-mail nor click ID came with the payment."],
  identity_without_touch: ["Known customer, no touch", "The customer never came by a link or coupon."],
  outside_window: ["Outside the window", "The last click is older than the attribution window."],
  unknown_coupon: ["Unknown coupon", "The code belongs to no partner: map it, and these sales follow."],
  click_not_found: ["Click not found", "A click ID was named that has not arrived."],
  click_too_late: ["Click came too late", "The click came after the lead or sale."],
  link_not_tracked: ["Link does not count", "Conversion tracking is off for the link."],
  other_program: ["Another program", "What the customer touched belongs to another program."],
  coupons_off: ["Coupons are off", "Coupon attribution is switched off for the workspace."],
  disconnected: ["Disconnected", "The Stripe account was disconnected."],
};

export const reason = (code) => REASONS[code] ?? [code ? code.replaceAll("_", " ") : "No reason told", ""];

const VERDICTS = {
  chosen: "it decided",
  lost_by_precedence: "it lost: the other kind of touch goes first in this program",
  lost_by_model: "it lost: the program's model prefers another click",
  lost_by_order: "it lost: another code of the same payment came first",
  outside_window: "too old for the attribution window",
  link_not_tracked: "its link does not count conversions",
  after_the_lead: "it came after the lead",
  after_the_sale: "it came after the sale",
  other_program: "it belongs to another program",
  unknown_coupon: "the code belongs to no partner",
  coupons_off: "coupons are switched off",
  click_not_found: "this click has not arrived",
};

const words = (text) => (text ?? "").replaceAll("_", " ");
const day = (text) => new Date(text).toLocaleDateString(undefined, { dateStyle: "long" });

function days(from, to) {
  const between = Math.floor((new Date(to) - new Date(from)) / 86400000);
  return between < 1 ? "on the same day" : between === 1 ? "a day before" : `${count(between)} days before`;
}

export function tone(status) {
  if (["approved", "paid", "active", "processed"].includes(status)) return "good";
  if (["withheld", "hold", "rejected", "banned", "disputed", "charged_back", "canceled", "reversed"].includes(status)) return "bad";
  if (["refunded", "partially_refunded", "invited"].includes(status)) return "warn";
  return "off";
}

export const tag = (status) => make("span", { class: `tag ${tone(status)}` }, words(status));

// Who earned a payment, why, and what became of it.
export function story({ conversion, partner, coupon, net, refunds, commissions, explanation }) {
  const paid = money(conversion.amount, conversion.currency);
  const verdict = partner
    ? make("p", { class: "verdict" }, partner.id, " earned this ", words(conversion.kind), tag(conversion.status))
    : make("p", { class: "verdict" }, `Nobody earned this ${words(conversion.kind)}`, tag(conversion.status));
  const told = [];
  told.push(`${conversion.customer ?? "Somebody without a name"} ${conversion.kind === "sale" ? `paid ${paid}` : "was counted"} on ` +
    `${moment(conversion.timestamp)}${conversion.eventName ? ` (${conversion.eventName})` : ""}.`);
  if (conversion.originalCurrency && conversion.originalCurrency !== conversion.currency) {
    told.push(conversion.fx === "no_rate"
      ? `It was paid as ${money(conversion.originalAmount, conversion.originalCurrency)}; there is no exchange rate of that day yet, so it counts as nothing until there is one.`
      : `It was paid as ${money(conversion.originalAmount, conversion.originalCurrency)} and converted at ${conversion.fx}.`);
  }
  told.push(why(conversion, partner, coupon));
  if (partner) told.push(...commission(conversion, commissions, explanation));
  for (const refund of refunds) {
    told.push(`${money(refund.amount, refund.currency)} went back on ${day(refund.timestamp)} (${words(refund.kind)}, ${words(refund.status)})` +
      (refund.commission ? `, and with it ${money(refund.commission, refund.currency)} of the commission.` : "."));
  }
  if (refunds.length) told.push(`What stays is ${money(net.amount, net.currency)} of revenue${partner ? ` and ${money(net.commission, net.currency)} of commission` : ""}.`);
  if (conversion.flags.length) told.push(`It was flagged: ${conversion.flags.map(words).join(", ")}.`);
  const touches = (explanation?.touches ?? []).filter((touch) => touch.verdict);
  return make("div", { class: "story" }, verdict, told.map((text) => make("p", {}, text)),
    touches.length > 1 && make("div", {}, make("h3", {}, "What was looked at"),
      make("ul", { class: "terms" }, touches.map(touch))));
}

function why({ attributedBy, click, link, reason: code, timestamp }, partner, coupon) {
  if (!partner) return reason(code).join(": ");
  if (attributedBy === "coupon") return `The code ${coupon} was used, which is ${partner.id}’s.`;
  if (attributedBy === "assignment") return `It was assigned to ${partner.id} by hand.`;
  const through = link ? ` on ${link.domain}/${link.key}` : "";
  return click ? `It goes back to a click${through} on ${day(click.timestamp)}, ${days(click.timestamp, timestamp)}.` : `It goes back to a click${through}.`;
}

function commission(conversion, commissions, explanation) {
  const told = [];
  const lines = explanation?.earned?.lines ?? [];
  const how = lines.map((line) => line.how && `${line.how}${line.reward ? ` by reward ${line.reward}` : ""}`).filter(Boolean);
  if (conversion.commission) told.push(`The commission was ${money(conversion.commission, conversion.currency)}${how.length ? `: ${how.join("; ")}` : ""}.`);
  else told.push(`It earned no commission${explanation?.earned?.reason ? `: ${words(explanation.earned.reason)}` : ""}.`);
  const own = commissions.filter((row) => row.amount > 0);
  for (const row of own) {
    told.push(`${money(row.amount, row.currency)} for ${row.partnerId} is ${words(row.state)}` +
      (row.state === "paid" ? (row.payoutId ? ` with payout ${row.payoutId}.` : ".") : `, due ${new Date(row.dueAt) > Date.now() ? "on" : "since"} ${day(row.dueAt)}${row.reason ? ` (${words(row.reason)})` : ""}.`));
  }
  return told;
}

function touch({ kind, id, partner, at, verdict }) {
  return make("li", {}, `${kind === "coupon" ? "Code" : "Click"} ${id || "without an ID"}${partner ? ` of ${partner}` : ""}`,
    make("small", {}, `${at > 0 ? `${moment(at)}: ` : ""}${VERDICTS[verdict] ?? words(verdict)}`));
}

const MODELS = {
  last_click: "the last click takes all", first_click: "the first click takes all", linear: "every click gets the same share",
  position_based: "the first and the last click get 40 % each", time_decay: "later clicks get more",
};
const PRECEDENCE = {
  click_first: "A coupon decides only where no click does.", coupon_first: "A coupon decides before any click.",
  latest_touch: "The later of click and coupon decides.",
};

// The terms of a program in force.
export function terms(program) {
  return [
    [`A click counts for ${count(program.window_days)} days; of several, ${MODELS[program.model] ?? words(program.model)}.`],
    [program.sticky ? "Customers stay with the partner who brought them." : "Each sale is judged anew, whoever brought the customer."],
    [PRECEDENCE[program.coupon_precedence] ?? words(program.coupon_precedence)],
    [`Commissions are due ${count(program.holding_days)} days after the sale.`],
    program.withhold?.length && [`Withheld until somebody decides: ${program.withhold.map(words).join(", ")}.`],
    program.revenue_origins?.length && [`Takes conversions of ${program.revenue_origins.join(", ")}.`],
  ].filter(Boolean).map(([text]) => make("li", {}, text));
}

const worth = ({ percent, amount, per_unit: perUnit }, currency) =>
  percent != null ? share(Number(percent) / 100, 2) : `${money(amount ?? 0, currency)}${perUnit ? " a unit" : ""}`;

export function reward(it, currency) {
  const limits = [
    it.products?.length && `for ${it.products.join(", ")}`,
    it.max_months != null && (it.max_months === 0 ? "for the first sale of a customer" : `for ${count(it.max_months)} months of a customer`),
    it.max_charges != null && `for ${count(it.max_charges)} sales of a customer`,
    it.cap && `at most ${money(it.cap.amount, currency)} ${it.cap.per === "ever" ? "in all" : `a ${it.cap.per}`}`,
  ].filter(Boolean);
  const other = (it.modifiers ?? []).map((modifier) => make("small", {}, `${worth({ ...it, ...modifier }, currency)} if ` +
    modifier.conditions.map(({ attribute, operator, value }) => `${attribute} ${words(operator)} ${[value].flat().join(", ")}`)
      .join(modifier.match === "OR" ? " or " : " and ")));
  return make("li", {}, make("b", {}, worth(it, currency)), ` ${it.percent != null ? "of" : "for"} each ${it.event}`,
    limits.length ? `, ${limits.join(", ")}` : "", other);
}
