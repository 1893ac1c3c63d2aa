// Camera and microphone: opening, choosing, measuring, and what to say when they do not work.

import { _ } from "./texts.js";

const VIDEO = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 25, max: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Open the microphone and, unless `soundOnly`, a camera. Rejects with the browser's error. */
export function open({ soundOnly = false, camera = "", microphone = "", facing = "user" } = {}) {
  const video = { ...VIDEO, ...(camera ? { deviceId: { exact: camera } } : { facingMode: { ideal: facing } }) };
  const audio = { ...AUDIO, ...(microphone ? { deviceId: { exact: microphone } } : {}) };
  return navigator.mediaDevices.getUserMedia({ audio, video: soundOnly ? false : video });
}

/** Open only the camera that faces "user" or "environment"; its track. */
export async function openCamera(facing) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { ...VIDEO, facingMode: { exact: facing } } });
  return stream.getVideoTracks()[0];
}

/** Cameras and microphones there are: {videoinput: […], audioinput: […]}. */
export async function list() {
  const found = { videoinput: [], audioinput: [] };
  for (const device of await navigator.mediaDevices.enumerateDevices()) found[device.kind]?.push(device);
  return found;
}

/** Fill a <select> with devices; unnamed ones get a number. */
export function fill(select, devices, chosen) {
  select.replaceChildren(
    ...devices.map((device, index) => {
      const option = document.createElement("option");
      option.value = device.deviceId;
      option.textContent = device.label || _("Device {number}", { number: index + 1 });
      option.selected = device.deviceId === chosen;
      return option;
    }),
  );
  select.closest("p").hidden = devices.length === 0;
}

/** {title, advice, soundOnly} for an error of getUserMedia; `soundOnly`: going on without a camera may help. */
export function explain(error) {
  const apple = /iPhone|iPad|iPod/.test(navigator.userAgent);
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return {
        title: _("Your browser may not use the camera and the microphone"),
        advice: apple
          ? _("Tap “aA” or the icon left of the address, then “Website settings”, allow camera and microphone, and try again. If that is missing: Settings, Safari, Camera.")
          : _("Tap the icon left of the address, then “Permissions”, allow camera and microphone, and try again. The telephone's own settings must allow it to the browser too."),
        soundOnly: true,
      };
    case "NotFoundError":
    case "OverconstrainedError":
      return {
        title: _("No camera or no microphone was found"),
        advice: _("Plug one in, or use your phone. Without a camera you can go on with sound only."),
        soundOnly: true,
      };
    case "NotReadableError":
    case "AbortError":
      return {
        title: _("The camera or the microphone is in use elsewhere"),
        advice: _("Close other apps that may use it (a video call, the camera), then try again. If that does not help, restart the device."),
        soundOnly: true,
      };
    default:
      return {
        title: _("The camera and the microphone did not start"),
        advice: _("Try again. If that does not help, use another browser or device."),
        soundOnly: true,
      };
  }
}

/** Call `tell(level)`, 0 to 1, ten times a second until the returned function is called. */
export function measure(stream, context, tell) {
  const source = context.createMediaStreamSource(stream);
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
    // −60 dBFS is silence, −10 dBFS is loud speech.
    const decibels = 10 * Math.log10(power + 1e-10);
    tell(Math.min(1, Math.max(0, (decibels + 60) / 50)));
  }, 100);
  return () => { clearInterval(timer); source.disconnect(); };
}

/** Let go of every device of a stream. */
export function release(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
