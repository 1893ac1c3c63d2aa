// The page's elements, its steps and what it announces.

import { page } from "./texts.js";

export const element = (id) => document.getElementById(id);

const steps = ["welcome", "devices", "code", "call", "end"];

/** Show one step only, and lead keyboard and screen reader to its title. */
export function show(step, { focus = true } = {}) {
  for (const name of steps) element(`step-${name}`).hidden = name !== step;
  document.body.dataset.step = step;
  element("progress").hidden = step === "call" || step === "end";
  const at = steps.indexOf(step);
  for (const item of element("progress").children) {
    const position = steps.indexOf(item.dataset.step);
    item.classList.toggle("done", position < at);
    if (position === at) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  if (!focus) return;
  const title = element(`title-${step}`);
  title.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

/** Say something once to screen readers, politely. */
export function announce(text) {
  const announcer = element("announcer");
  announcer.textContent = "";
  requestAnimationFrame(() => { announcer.textContent = text; });
}

/** Fill and show a notice of a title and an advice; no title hides it. */
export function notice(id, words, more = "") {
  const box = element(id);
  box.hidden = !words;
  if (!words) return;
  element(`${id}-title`).textContent = words.title;
  element(`${id}-advice`).textContent = words.advice;
  const extra = element(`${id}-more`);
  if (extra) extra.textContent = more;
}

/** Set a field's error, or clear it. */
export function fieldError(input, text) {
  element(`${input.id}-error`).textContent = text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/** Turn a two-state button. */
export function press(button, on) {
  button.setAttribute("aria-pressed", String(on));
  const label = button.querySelector("span");
  label.textContent = on ? label.dataset.on : label.dataset.off;
}

export const language = page.language;
