// Partners' codes and what was bought with each.

import { address } from "./common.js";
import { ago, count, make, moment, money } from "./format.js";
import { listing } from "./listing.js";
import { tag } from "./words.js";

const state = ({ declared, active }) => (!declared ? make("span", { class: "tag off" }, "not declared") : tag(active ? "active" : "switched off"));

listing({
  path: "/coupons",
  csv: true,
  defaults: { search: "", partnerId: "", sortBy: "saleAmount" },
  parameters: ({ search, partnerId, sortBy }) => ({ search, partnerId, sortBy }),
  head: [["Code"], ["Partner"], ["State"], ["Sales", "num"], ["Revenue", "num"], ["Refunded", "num"], ["Earnings", "num"], ["Last used", "num"]],
  row: (coupon, scope) => [
    [make("a", { href: address("/pages/conversions", { ...scope, coupon: coupon.id, interval: "all" }) }, coupon.id),
      make("small", { class: "quiet under" }, coupon.promotionCodes.join(", ") || " ")],
    coupon.partner ? make("span", { class: "tag" }, coupon.partner.name) : make("span", { class: "quiet" }, "Nobody"),
    state(coupon),
    count(coupon.sales),
    money(coupon.saleAmount, coupon.currency),
    money(coupon.refundAmount, coupon.currency),
    money(coupon.earnings, coupon.currency),
    coupon.lastConversionAt ? make("time", { datetime: coupon.lastConversionAt, title: moment(coupon.lastConversionAt) }, ago(coupon.lastConversionAt)) : "–",
  ],
  nothing: ["No code", "A partner’s code stands in program.yaml under coupons, with the same text as the promotion code in Stripe. Or choose other filters."],
});
