// Numbers, money and times as the viewer's locale writes them, and a small way to make elements.
// Text only ever enters the page as text, never as HTML.

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export const count = (value) => new Intl.NumberFormat().format(value ?? 0);

export const share = (value, digits = 1) =>
  value == null ? "–" : new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: digits }).format(value);

// Amounts are integers in the currency's smallest unit: some currencies have no decimals, some have three.
export function money(amount, currency, short = false) {
  const code = (currency || "usd").toUpperCase();
  try {
    const style = { style: "currency", currency: code };
    const digits = new Intl.NumberFormat(undefined, style).resolvedOptions().maximumFractionDigits;
    const value = (amount ?? 0) / 10 ** digits;
    const options = short ? { notation: "compact", maximumFractionDigits: 1, minimumFractionDigits: 0 } : {};
    return new Intl.NumberFormat(undefined, { ...style, ...options }).format(value);
  } catch {
    return `${amount} ${code}`;
  }
}

export const short = (value) => new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 }).format(value);

// The label of a bucket: its length is the distance to the next one.
export function bucket(start, next) {
  const time = new Date(start);
  const hours = (new Date(next ?? start) - time) / 3.6e6;
  const base = { timeZone: zone };
  if (hours > 0 && hours <= 1) return time.toLocaleString(undefined, { ...base, weekday: "short", hour: "numeric", minute: "2-digit" });
  if (hours > 26) return time.toLocaleString(undefined, { ...base, month: "short", year: "numeric" });
  return time.toLocaleString(undefined, { ...base, month: "short", day: "numeric" });
}

export const moment = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function ago(text) {
  const seconds = Math.round((Date.now() - new Date(text)) / 1000);
  if (seconds < 60) return "just now";
  const format = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "narrow" });
  if (seconds < 3600) return format.format(-Math.round(seconds / 60), "minute");
  if (seconds < 86400) return format.format(-Math.round(seconds / 3600), "hour");
  return format.format(-Math.round(seconds / 86400), "day");
}

export function duration(seconds) {
  if (seconds == null) return "–";
  const unit = [[86400, "day"], [3600, "hour"], [60, "minute"], [0, "second"]].find(([from]) => Math.abs(seconds) >= from);
  const value = seconds / (unit[0] || 1);
  return new Intl.NumberFormat(undefined, { style: "unit", unit: unit[1], unitDisplay: "long", maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

export function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "circle", "rect", "defs", "linearGradient", "stop", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value != null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

export function empty(title, hint) {
  return make("div", { class: "empty" }, make("b", {}, title), hint);
}
