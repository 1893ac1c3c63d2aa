// Step 2: camera and microphone are tried before anything is spent.

import * as devices from "./devices.js";
import { announce, element, notice } from "./dom.js";
import { memory } from "./memory.js";
import * as sounds from "./sounds.js";
import { _ } from "./texts.js";

const HEARD = 0.25;

/** Set the step up; `done(stream)` when the person goes on. */
export function setUpDevices(done) {
  let stream = null;
  let stopMeasuring = () => {};

  function reset() {
    stopMeasuring();
    stopMeasuring = () => {};
    devices.release(stream);
    stream = null;
  }

  async function open(wish) {
    reset();
    notice("devices-error", null);
    element("allow").disabled = true;
    try {
      stream = await devices.open(wish);
    } catch (error) {
      failed(error);
      return;
    } finally {
      element("allow").disabled = false;
    }
    memory.soundOnly = Boolean(wish.soundOnly);
    await ready(wish);
  }

  function failed(error) {
    const words = devices.explain(error);
    element("devices-ready").hidden = true;
    element("devices-ask").hidden = false;
    element("allow").textContent = _("Try again");
    element("sound-only").hidden = !words.soundOnly;
    notice("devices-error", words);
    element("devices-error").scrollIntoView({ block: "nearest" });
  }

  async function ready({ soundOnly }) {
    element("devices-ask").hidden = true;
    element("devices-ready").hidden = false;
    element("devices-lead").textContent = _("Can you see yourself, and does the bar move when you speak? Nobody sees or hears you yet.");
    const preview = element("preview");
    preview.hidden = Boolean(soundOnly);
    element("no-picture").hidden = !soundOnly;
    preview.srcObject = stream;
    preview.play().catch(() => {});
    announce(soundOnly ? _("Your microphone is on.") : _("Your camera and your microphone are on."));
    listen();
    const { videoinput, audioinput } = await devices.list();
    const chosen = (kind) => stream?.getTracks().find((track) => track.kind === kind)?.getSettings().deviceId;
    devices.fill(element("camera"), soundOnly ? [] : videoinput, chosen("video"));
    devices.fill(element("microphone"), audioinput, chosen("audio"));
    element("device-choice").hidden = videoinput.length + audioinput.length < 3;
  }

  function listen() {
    const context = sounds.audioContext();
    element("level").closest(".level").hidden = !context;
    if (!context) return;
    let heard = false;
    element("level-text").textContent = _("Say a few words…");
    stopMeasuring = devices.measure(stream, context, (level) => {
      element("level").value = level;
      if (heard || level < HEARD) return;
      heard = true;
      element("level-text").textContent = _("Your microphone hears you.");
    });
  }

  const wished = () => ({ camera: element("camera").value, microphone: element("microphone").value, soundOnly: memory.soundOnly });

  element("allow").onclick = () => { sounds.audioContext(); open({}); };
  element("sound-only").onclick = () => { sounds.audioContext(); open({ soundOnly: true }); };
  element("camera").onchange = () => open(wished());
  element("microphone").onchange = () => open(wished());
  element("devices-done").onclick = () => {
    stopMeasuring();
    stopMeasuring = () => {};
    const ours = stream;
    stream = null;
    done(ours);
  };

  /** Whether the browser would give both without asking again. */
  async function allowedAlready() {
    try {
      const states = await Promise.all(["camera", "microphone"].map((name) => navigator.permissions.query({ name })));
      return states.every(({ state }) => state === "granted");
    } catch {
      return false;
    }
  }

  return {
    async begin() {
      reset();
      notice("devices-error", null);
      element("devices-ready").hidden = true;
      element("devices-ask").hidden = false;
      element("sound-only").hidden = true;
      if (await allowedAlready()) await open({});
    },
  };
}
