// How well the call gets through, told in words. Looks every 3 s at what got lost.

import { _ } from "./texts.js";

const EVERY_MS = 3000;

/** Call `tell(text)` on each change, "" when all is well; returns a function that stops it. */
export function watch(peer, tell) {
  let before = null;
  let said = "";
  const look = async () => {
    const pc = peer.connection;
    if (!pc || pc.connectionState !== "connected") { before = null; return; }
    const now = { pc, received: 0, lost: 0, frames: 0, farLost: 0 };
    for (const report of (await pc.getStats()).values()) {
      if (report.type === "inbound-rtp") {
        now.received += report.packetsReceived ?? 0;
        now.lost += report.packetsLost ?? 0;
        now.frames += report.framesDecoded ?? 0;
      }
      if (report.type === "remote-inbound-rtp") now.farLost = Math.max(now.farLost, report.fractionLost ?? 0);
    }
    let text = "";
    if (before?.pc === pc) {
      const received = now.received - before.received;
      const lost = now.lost - before.lost;
      const ratio = lost / Math.max(1, received + lost);
      if (received === 0) text = _("Nothing comes through at the moment…");
      else if (peer.hasVideo && now.frames === before.frames) text = _("The picture stands still, the sound goes on.");
      else if (ratio > 0.05 || now.farLost > 0.05) text = _("Weak connection: come closer to your Wi-Fi, or turn your camera off.");
    }
    before = now;
    if (text !== said) { said = text; tell(text); }
  };
  const timer = setInterval(() => { look().catch(() => {}); }, EVERY_MS);
  return () => clearInterval(timer);
}
