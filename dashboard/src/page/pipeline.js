// How far each stage is, what could not be processed, and what waits.

import { $, drawer, get, post, told } from "./common.js";
import { ago, count, empty, make, moment, share } from "./format.js";
import { page } from "./page.js";

const words = (text) => text.replaceAll("_", " ");

function stage({ stage: name, lag, topics }) {
  const missing = topics.every((topic) => topic.partitions === 0);
  const state = missing ? ["off", "no topics yet"] : !topics.some((topic) => topic.begun) ? ["off", "has not begun"]
    : lag === 0 ? ["good", "up to date"] : ["warn", "behind"];
  return make("div", { class: "stage" }, make("h3", {}, name), make("span", { class: "big" }, count(lag)),
    make("span", { class: `tag ${state[0]}` }, state[1]),
    make("dl", {}, topics.map((topic) => [make("dt", {}, topic.topic), make("dd", {}, count(topic.lag))])));
}

const command = (reason) => `tributary replay${reason ? ` --reason ${reason}` : ""}`;

function copy(text) {
  const button = make("button", { type: "button", onclick: async () => {
    await navigator.clipboard?.writeText(text);
    button.textContent = "Copied";
  } }, "Copy");
  return make("div", { class: "copy" }, make("code", {}, text), button);
}

// Asks before it does, and says what became of it.
function replay(reason, offered) {
  const said = make("p", { role: "status" });
  const go = offered && make("button", { type: "button", onclick: async () => {
    go.disabled = true;
    said.textContent = "Putting them back…";
    try {
      const done = await post("/pipeline/replay", reason ? { reason } : {});
      said.textContent = `${count(done.count)} put back; their stages will judge them again.`;
      run();
    } catch (error) {
      said.textContent = told(error);
      go.disabled = false;
    }
  } }, "Put them back");
  drawer(reason ? `Replay: ${words(reason)}` : "Replay all",
    make("p", {}, "The letters go back into the topics that they came from, to be judged again: after the cause is mended. Twice is harmless, and a letter stays in the list until it is 30 days old."),
    go && make("p", { class: "note" }, go), said,
    make("h3", {}, go ? "Or on a machine of the pipeline" : "On a machine of the pipeline"), copy(command(reason)));
}

function details(letter) {
  const line = (name, value) => value != null && value !== "" && [make("dt", {}, name), make("dd", {}, value)];
  drawer(words(letter.reason), make("dl", { class: "pay" },
    line("What was wrong", letter.detail),
    line("Stage", letter.stage),
    line("Put aside", moment(letter.timestamp)),
    line("From", `${letter.topic}, partition ${letter.partition}, offset ${letter.offset}`),
    line("Key", letter.key),
    line("Size", `${count(letter.bytes)} bytes`)));
}

function letters({ deadLetters: data, replay: offered }) {
  if (!data.count) return empty("No dead letter", "What a stage cannot process is put here with its reason, byte for byte; the rest goes on.");
  const head = ["Reason", "Stage", "What was wrong", "Put aside"];
  return make("div", {},
    make("ul", { class: "terms" }, data.reasons.map((row) => make("li", {},
      make("span", { class: "row-actions" }, `${count(row.count)} × ${words(row.reason)}`, row.stage && make("span", { class: "tag off" }, row.stage),
        make("button", { type: "button", class: "button", "aria-label": `Replay ${words(row.reason)}`, onclick: () => replay(row.reason, offered) }, "Replay…"))))),
    make("h3", {}, "The newest"),
    make("div", { class: "scroll all", tabindex: "0", role: "region", "aria-labelledby": "letters-title" }, make("table", {},
      make("thead", {}, make("tr", {}, head.map((text, index) => make("th", { scope: "col", class: index === 3 ? "num" : null }, text)))),
      make("tbody", {}, data.newest.map((letter) => make("tr", {},
        make("td", {}, make("button", { type: "button", class: "link", onclick: () => details(letter) }, words(letter.reason))),
        make("td", {}, letter.stage),
        make("td", {}, letter.detail ?? "–"),
        make("td", { class: "num" }, make("time", { datetime: letter.timestamp, title: moment(letter.timestamp) }, ago(letter.timestamp)))))))),
    !data.whole && make("p", { class: "note" }, "Reasons are counted among the newest ones; older ones are not looked at."));
}

function spool({ spool: data }) {
  if (!data) return make("p", { class: "quiet" }, "Not known here: the edge runs in another process. Its /metrics tell it as edge_spool_bytes, and /readyz fails when four fifths are full.");
  const part = data.limit ? data.bytes / data.limit : 0;
  const bar = make("i", { class: part >= .8 ? "full" : null });
  bar.style.width = `${Math.min(part, 1) * 100}%`;
  const size = (bytes) => new Intl.NumberFormat(undefined, { style: "unit", unit: "megabyte", maximumFractionDigits: 1 }).format(bytes / 1e6);
  return make("div", {}, make("p", {}, make("span", { class: "big" }, size(data.bytes)), make("span", { class: "quiet" }, ` of ${size(data.limit)}, ${share(part)} full`)),
    make("div", { class: "meter", "aria-hidden": "true" }, bar),
    make("p", { class: "note" }, data.bytes ? "Records wait here while Kafka is away, and drain by themselves." : "Empty: everything went straight to Kafka."));
}

function held({ everHeld: number }) {
  if (number == null) return make("p", { class: "quiet" }, "Not known here: attribution runs in another process. `tributary verify` counts them.");
  return make("div", {}, make("p", {}, make("span", { class: "big" }, count(number))),
    make("p", { class: "note" }, "So far, kept until something told what they belong to, such as a charge before its invoice. Most have resolved since; `tributary verify` counts those that wait now."));
}

for (const id of ["stages", "spool", "held", "letters"]) $(id).replaceChildren(make("div", { class: "wait tall" }));
const { run } = page({
  every: 5000,
  scoped: false,
  async load(_, __, stale) {
    const data = await get("/pipeline");
    if (stale()) return;
    const away = () => empty("Kafka is not reachable", `${data.kafka.reason} Nothing is lost: the edge keeps what comes, and stages go on by themselves.`);
    $("stages").replaceChildren(data.stages ? make("div", { class: "stages" }, data.stages.map(stage)) : away());
    $("letters").replaceChildren(data.deadLetters ? letters(data) : away());
    $("letters-count").textContent = data.deadLetters?.count ? `${count(data.deadLetters.count)} in 30 days` : "";
    $("spool").replaceChildren(spool(data));
    $("held").replaceChildren(held(data));
  },
  failed: () => ["stages", "spool", "held", "letters"].forEach((id) => $(id).replaceChildren(empty("Not available", ""))),
});
