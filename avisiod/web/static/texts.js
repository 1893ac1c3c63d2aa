// What the scripts say, in the page's language. English is the key.

export const page = JSON.parse(document.getElementById("page-data").textContent);

/** Translate; `{name}` is replaced by values.name. */
export function _(text, values = {}) {
  return (page.texts[text] || text).replace(/\{(\w+)\}/g, (_all, name) => values[name] ?? "");
}

/** 125.4 → "2:06"; a part of a second counts as a whole one. */
export function clock(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** "2 minutes", "30 seconds", in words for people and screen readers. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [];
  const format = (value, unit) =>
    new Intl.NumberFormat(page.language, { style: "unit", unit, unitDisplay: "long" }).format(value);
  if (whole >= 7200) return format(Math.ceil(whole / 3600), "hour");
  if (whole >= 60) parts.push(format(Math.floor(whole / 60), "minute"));
  if (whole % 60 || whole < 60) parts.push(format(whole % 60, "second"));
  return parts.join(" ");
}
