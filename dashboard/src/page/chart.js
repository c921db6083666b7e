// A line over time as SVG, with a cursor for mouse, touch and arrow keys. Draws what it is given, fetches nothing.

import { bucket, count, make, money, short } from "./format.js";

export const METRICS = {
  clicks: { label: "Clicks", color: "var(--clicks)" },
  leads: { label: "Leads", color: "var(--leads)" },
  sales: { label: "Sales", color: "var(--sales)" },
  saleAmount: { label: "Revenue", color: "var(--sales)", money: true },
};

const LEFT = 52;
const BOTTOM = 24;
const TOP = 8;

// The next round number above: 1, 2, 2.5 or 5 times a power of ten, so that four grid lines are round too.
function ceiling(value) {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((factor) => factor * power).find((top) => top >= value);
}

export function draw(box, series, metric, currency) {
  const { label, color, money: isMoney } = METRICS[metric];
  const width = Math.max(box.clientWidth, 260);
  const height = box.clientHeight || 240;
  const values = series.map((row) => row[metric]);
  const top = ceiling(Math.max(...values, 0));
  const step = (width - LEFT - 8) / Math.max(series.length - 1, 1);
  const x = (index) => LEFT + index * step;
  const y = (value) => TOP + (height - TOP - BOTTOM) * (1 - Math.max(value, 0) / top);
  const name = (index) => bucket(series[index].start, (series[index + 1] ?? {}).start ?? after(series));
  const text = (value) => (isMoney ? money(value, currency) : count(value));
  const total = values.reduce((sum, value) => sum + value, 0);

  const svg = make("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0",
    "aria-label": `${label} over time: ${text(total)} in ${series.length} steps. Arrow keys read them one by one.`,
  });
  svg.append(make("defs", {}, make("linearGradient", { id: "fade", x1: 0, y1: 0, x2: 0, y2: 1 },
    make("stop", { offset: 0, "stop-color": color, "stop-opacity": .26 }),
    make("stop", { offset: 1, "stop-color": color, "stop-opacity": .02 }))));
  for (let line = 0; line <= 4; line += 1) {
    const value = (top / 4) * line;
    svg.append(make("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
    svg.append(make("text", { class: "axis", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" },
      isMoney ? money(value, currency, true) : short(value)));
  }
  const every = Math.max(1, Math.ceil(series.length / Math.max(2, Math.floor(width / 105))));
  series.forEach((_, index) => {
    if (index % every || (index > 0 && width - x(index) < 30)) return;
    svg.append(make("text", { class: "axis", x: x(index), y: height - 5, "text-anchor": index ? "middle" : "start" }, name(index)));
  });
  const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
  if (points.length > 1) {
    svg.append(make("path", { d: `M${points.join("L")}L${x(values.length - 1)},${y(0)}L${x(0)},${y(0)}Z`, fill: "url(#fade)" }));
    // The last bucket is still filling up: dashed, so that it does not look like a fall.
    const open = new Date(after(series)) > Date.now();
    const line = { fill: "none", stroke: color, "stroke-width": 2.2, "stroke-linejoin": "round" };
    svg.append(make("path", { d: `M${(open ? points.slice(0, -1) : points).join("L")}`, ...line }));
    if (open) svg.append(make("path", { d: `M${points.slice(-2).join("L")}`, ...line, "stroke-dasharray": "4 4", opacity: .75 }));
  } else {
    svg.append(make("circle", { cx: x(0), cy: y(values[0] ?? 0), r: 4, fill: color }));
  }
  const cursor = make("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
  const mark = make("circle", { r: 4.5, fill: color, stroke: "var(--card)", "stroke-width": 2, visibility: "hidden" });
  const tip = make("div", { class: "tip", hidden: true, role: "status" });
  svg.append(cursor, mark);

  let at = null;
  const show = (index) => {
    at = Math.min(Math.max(index, 0), series.length - 1);
    const row = series[at];
    for (const part of [cursor, mark]) part.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(at)); cursor.setAttribute("x2", x(at));
    mark.setAttribute("cx", x(at)); mark.setAttribute("cy", y(row[metric]));
    const lines = Object.entries(METRICS).flatMap(([key, it]) => [
      make("dt", {}, it.label), make("dd", {}, it.money ? money(row[key], currency) : count(row[key]))]);
    tip.replaceChildren(make("b", {}, name(at)), at === series.length - 1 && new Date(after(series)) > Date.now() ? " so far" : "", make("dl", {}, lines));
    tip.hidden = false;
    const left = x(at) + 14 + tip.offsetWidth > width ? x(at) - 14 - tip.offsetWidth : x(at) + 14;
    tip.style.transform = `translate(${Math.max(left, 0)}px, 12px)`;
  };
  const hide = () => {
    at = null; tip.hidden = true;
    for (const part of [cursor, mark]) part.setAttribute("visibility", "hidden");
  };
  svg.addEventListener("pointermove", (event) => {
    const place = svg.getBoundingClientRect();
    show(Math.round(((event.clientX - place.left) * (width / place.width) - LEFT) / step));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: (at ?? -1) + 1, ArrowLeft: (at ?? series.length) - 1, Home: 0, End: series.length - 1 };
    if (event.key === "Escape") hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]);
  });
  box.replaceChildren(svg, tip);
}

// The last bucket is as long as the one before it.
function after(series) {
  const [last, before] = [series.at(-1), series.at(-2)];
  return before ? new Date(2 * new Date(last.start) - new Date(before.start)).toISOString() : last.start;
}

export function table(series, currency) {
  const head = ["From", ...Object.values(METRICS).map((it) => it.label)];
  const rows = series.map((row, index) => make("tr", {},
    make("th", { scope: "row" }, bucket(row.start, (series[index + 1] ?? {}).start ?? after(series))),
    Object.entries(METRICS).map(([key, it]) => make("td", { class: "num" }, it.money ? money(row[key], currency) : count(row[key])))));
  return make("table", {},
    make("thead", {}, make("tr", {}, head.map((text, index) => make("th", { scope: "col", class: index ? "num" : null }, text)))),
    make("tbody", {}, rows));
}
