// One payment, by any of its IDs, in words. With panel=1 it is narrow and alone: for a frame beside the payment.

import { $, address, get, told } from "./common.js";
import { empty, make } from "./format.js";
import { page } from "./page.js";
import * as panels from "./panels.js";
import { story } from "./words.js";

const HINT = "Any ID of a payment shows who earned it, why, and what went back: a charge, payment intent, invoice or session of Stripe, or your own.";

async function explain(id, scope) {
  if (!id) return make("p", { class: "quiet" }, HINT);
  try {
    const data = await get(`/payments/${encodeURIComponent(id)}`, scope);
    return make("div", {}, story(data), panels.payment(data),
      make("p", { class: "note row-actions" },
        make("a", { href: address("/pages/conversions", { ...scope, externalId: id, interval: "all" }), target: own.panel ? "_blank" : null }, "In the report"),
        data.conversion.customer && make("a", { href: address("/people", { ...scope, search: data.conversion.customer }), target: own.panel ? "_blank" : null }, "The customer")));
  } catch (error) {
    return make("p", { role: "alert" }, told(error));
  }
}

// The panel is asked for by whoever embeds the page: it stays in the address.
const own = { panel: new URLSearchParams(location.search).get("panel") ?? "" };
let shown;

const { state, set } = page({
  defaults: { id: "", panel: "" },
  async load({ id }, scope, stale) {
    if (shown !== id) $("payment").replaceChildren(make("div", { class: "wait" }));
    const latest = own.panel ? [] : await get("/events", { ...scope, event: "sales", interval: "all", limit: 12 });
    if (stale()) return;
    $("latest-card").hidden = Boolean(own.panel);
    $("latest").replaceChildren(latest.length
      ? make("ul", { class: "events" }, latest.map((event) => panels.event(event, () => look(panels.paymentOf(event)))))
      : empty("No payment yet", "Payments are listed here a second after Stripe, or your server, tells of them."));
    if (shown === id) return;
    const found = await explain(id, scope);
    if (stale()) return;
    shown = id;
    $("payment").replaceChildren(found);
  },
  failed() {
    $("payment").replaceChildren(make("p", { class: "quiet" }, HINT));
    $("latest").replaceChildren(empty("Not available", ""));
  },
});

function look(id) {
  $("payment-id").value = id;
  shown = undefined;
  set({ id });
  $("payment-title").scrollIntoView({ block: "nearest" });
}

$("payment-id").value = state.id;
$("lookup").addEventListener("submit", (event) => {
  event.preventDefault();
  look($("payment-id").value.trim());
});
