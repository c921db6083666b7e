// What is known of the workspace's Stripe accounts: what came, when, and what was made of it.

import { $, get } from "./common.js";
import { ago, count, empty, make, moment } from "./format.js";
import { page } from "./page.js";

const card = (title, ...content) => make("section", { class: "card" }, title && make("div", { class: "head" }, title), ...content);
const line = (name, value) => value && [make("dt", {}, name), make("dd", {}, value)];
const when = (text) => make("time", { datetime: text, title: moment(text) }, `${ago(text)}, ${moment(text)}`);

function endpoint({ endpoint: path, secrets, accounts, workspace }) {
  const own = secrets == null ? "Not known on this machine: the edge has its own settings."
    : secrets === 0 ? "None on this machine. Without one, the edge refuses what Stripe sends."
      : `${count(secrets)} on this machine.`;
  return card(make("h2", {}, "Webhook endpoint"),
    make("dl", { class: "pay" },
      line("Path on the edge", make("code", {}, workspace ? path : "/webhooks/stripe/{workspace}")),
      line("Signing secrets", own),
      line("Connected accounts", accounts == null ? "Not known here." : accounts.length ? accounts.join(", ") : "Every account that sends to this endpoint.")),
    make("p", { class: "note" }, `One endpoint takes live, test and sandbox events. Its signing secret goes into a file of the edge’s folder secrets/${workspace || "{workspace}"}.`));
}

function looked(kafka) {
  if (!kafka) return "The topic of Stripe’s events is not read by this process.";
  if (!kafka.reachable) return `The topic of Stripe’s events cannot be read: ${kafka.reason}`;
  return kafka.whole ? "Among all events that are still kept (30 days)." : `Among the newest ${count(kafka.looked)} events of all workspaces.`;
}

function mode(data, kafka) {
  const { lastEvent: last, types, conversions30d, lastConversionAt } = data;
  const quiet = last ? null : !kafka?.reachable ? make("span", { class: "tag off" }, "not known") : make("span", { class: "tag warn" }, "nothing seen");
  return card([make("h2", {}, `Mode ${data.mode}`), last ? make("span", { class: "tag good" }, `last event ${ago(last.receivedAt)}`) : quiet],
    make("dl", { class: "pay" },
      line("Last event", last && [make("code", {}, last.type), " ", when(last.receivedAt)]),
      line("Event ID", last?.id),
      line("Account", last && (last.account ?? "the endpoint’s own")),
      line("API version", last?.apiVersion),
      line("Conversions", `${count(conversions30d)} in 30 days`),
      line("Last one", lastConversionAt && when(lastConversionAt))),
    types.length > 0 && make("details", { class: "data" }, make("summary", {}, `${count(types.length)} types of event`),
      make("table", {}, make("tbody", {}, types.map((row) => make("tr", {}, make("td", {}, make("code", {}, row.type)), make("td", { class: "num" }, count(row.count))))))),
    make("p", { class: "note" }, looked(kafka)));
}

$("connections").replaceChildren(card(null, make("div", { class: "wait tall" })));
page({
  every: 10000,
  async load(state, _, stale) {
    // All modes side by side, whatever the other pages show.
    const data = await get("/connections", { workspace: state.workspace });
    if (stale()) return;
    $("mode-label").hidden = true;
    $("connections").replaceChildren(endpoint(data), ...(data.modes.length ? data.modes.map((row) => mode(row, data.kafka))
      : [card(null, empty("Nothing from Stripe yet", `Let Stripe send its events to the path above. ${looked(data.kafka)}`))]));
  },
  failed: () => $("connections").replaceChildren(card(null, empty("Not available", ""))),
});
