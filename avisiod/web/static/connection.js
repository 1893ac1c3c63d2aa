// The WebSocket to the portal. It tells what comes, and comes back by itself while the call may still be there.

import { page } from "./texts.js";

const BACKOFF_MS = [300, 1000, 2000, 3000, 5000];
const CONNECT_WITHIN_MS = 8000; // a connection begun while the network was away takes much longer to notice its return
const SILENT_MS = 25000; // the portal speaks every 10 s during a call

/** Events: "open", "message" (detail: the message), "away" (will try again), "closed" (detail: the close code). */
export class Connection extends EventTarget {
  #socket = null;
  #tries = 0;
  #retry = null;
  #watch = null;
  #heard = 0;
  #persistent = false;
  #done = false;

  constructor() {
    super();
    window.addEventListener("online", () => { if (this.#persistent) this.#again(0); });
  }

  get ready() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Whether to come back after a loss: true during a call. */
  set persistent(on) {
    this.#persistent = on;
    clearInterval(this.#watch);
    this.#heard = performance.now();
    if (on) this.#watch = setInterval(() => this.#check(), 2000);
  }

  /** Connect, unless it is under way or done. */
  open() {
    if (this.#socket?.readyState <= WebSocket.OPEN) return;
    this.#done = false;
    clearTimeout(this.#retry);
    const address = new URL(page.socket, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, page.subprotocol);
    this.#socket = socket;
    setTimeout(() => {
      if (socket === this.#socket && socket.readyState === WebSocket.CONNECTING && this.#persistent) this.#again(0);
    }, CONNECT_WITHIN_MS);
    socket.onopen = () => {
      this.#tries = 0;
      this.#heard = performance.now();
      this.send({ type: "hello", language: page.language });
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = (event) => {
      if (socket !== this.#socket) return;
      this.#heard = performance.now();
      this.dispatchEvent(new CustomEvent("message", { detail: JSON.parse(event.data) }));
    };
    socket.onclose = (event) => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      if (this.#done) return;
      // 4000 to 4003, 1008, 1009: the portal meant it. 4004: it restarts.
      const meant = (event.code >= 4000 && event.code <= 4003) || event.code === 1008 || event.code === 1009;
      if (this.#persistent && !meant) {
        this.dispatchEvent(new Event("away"));
        this.#again();
      } else {
        this.dispatchEvent(new CustomEvent("closed", { detail: event.code }));
      }
    };
  }

  send(message) {
    if (!this.ready) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** The portal does not answer any more, whatever the socket believes: connect again now. */
  renew() {
    if (!this.#persistent || this.#done) return;
    this.dispatchEvent(new Event("away"));
    this.#heard = performance.now();
    this.#again(0);
  }

  close() {
    this.#done = true;
    this.persistent = false;
    clearTimeout(this.#retry);
    this.#socket?.close(1000);
  }

  #again(delay = BACKOFF_MS[Math.min(this.#tries++, BACKOFF_MS.length - 1)]) {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      const old = this.#socket;
      this.#socket = null;
      old?.close();
      this.open();
    }, delay);
  }

  #check() {
    if (this.#socket && performance.now() - this.#heard >= SILENT_MS) this.renew();
  }
}
