// The call: its screen, its countdown, its buttons. What is true comes from the portal only.

import { canH264 } from "./capabilities.js";
import { announce, element, press, show } from "./dom.js";
import * as devices from "./devices.js";
import { memory } from "./memory.js";
import { Peer } from "./peer.js";
import * as quality from "./quality.js";
import * as sounds from "./sounds.js";
import { _, clock, duration } from "./texts.js";

const ANSWER_WITHIN_MS = 5000; // without an answer by then the network changed under the WebSocket too
const RESTARTED_WITHIN_MS = 8000; // then a new RTCPeerConnection is tried

/** Events: "over" once the person hung up and the portal could not be told. */
export class Call extends EventTarget {
  #connection;
  #peer;
  #stream;
  #iceServers = [];
  #inside = false; // the portal has said `joined`, and not taken it back
  #waiting = false;
  #renew = false;
  #restarting = false;
  #unanswered = null;
  #stuck = null;
  #reviving = false;
  #deadline = null;
  #noticed = null;
  #ticker = null;
  #wakeLock = null;
  #stopQuality = () => {};
  #facing = "user";
  #phase = "";

  constructor(connection, stream) {
    super();
    this.#connection = connection;
    this.#stream = stream;
    this.#peer = new Peer((message) => connection.send(message));
    this.#peer.addEventListener("track", (event) => this.#picture(event.detail));
    this.#peer.addEventListener("lost", () => this.#restart());
    this.#peer.addEventListener("connected", () => this.#restored());
    this.#stopQuality = quality.watch(this.#peer, (text) => this.#quality(text));
    this.#buttons();
    this.#open();
  }

  get stream() {
    return this.#stream;
  }

  // From the portal.

  joined({ token, recorded, ice_servers: iceServers }) {
    memory.token = token;
    this.#iceServers = iceServers.map((server) => ({ ...server }));
    this.#forget();
    this.#inside = true;
    const note = element("recording");
    note.textContent = recorded ? _("Recorded") : _("Not recorded");
    note.classList.toggle("on", recorded);
    this.#connection.persistent = true;
    this.#offer();
  }

  async answer({ sdp }) {
    this.#answered();
    if (this.#renew) {
      this.#renew = false;
      this.#offer();
      return;
    }
    await this.#peer.answered(sdp);
    element("sound-only-call").hidden = this.#peer.hasVideo || canH264();
  }

  refused() {
    this.#forget();
  }

  /** The portal has nothing left to restart: begin anew. */
  restartRefused() {
    this.#forget();
    this.#offer();
  }

  state({ state, remaining_s: remaining }) {
    if (remaining !== null && remaining !== undefined) {
      this.#deadline = performance.now() + remaining * 1000;
      this.#tick();
    }
    if (state === this.#phase) return;
    const before = this.#phase;
    this.#phase = state;
    if (state === "connected") {
      this.#curtain("");
      if (before !== "connected") {
        sounds.play("joined");
        const left = this.#deadline === null ? "" : _("Time left: {time}.", { time: duration((this.#deadline - performance.now()) / 1000) });
        announce(`${_("You are in the call.")} ${left}`);
      }
    } else if (state === "interrupted") {
      sounds.play("lost");
      this.#curtain(_("The call is interrupted, reconnecting…"), _("Stay on this page. The time goes on."));
    } else if (state === "waiting") {
      this.#inside = false;
      this.#curtain(_("Sound and picture do not get through yet, trying again…"), _("Stay on this page. You need no new code."));
    } else {
      this.#curtain(_("Connecting…"), _("The person in detention sees that you are coming."));
    }
  }

  warning({ remaining_s: remaining }) {
    sounds.play("warning");
    this.#notice(_("The call ends in {time}.", { time: duration(remaining) }), 12000);
  }

  /** It begins, and is shorter than usual: `text` says why. */
  shortened({ remaining_s: remaining, text }) {
    this.#notice(`${text} ${_("The call ends in {time}.", { time: duration(remaining) })}`, 20000);
  }

  #notice(text, milliseconds) {
    const box = element("call-warning");
    box.textContent = text;
    box.hidden = false;
    clearTimeout(this.#noticed);
    this.#noticed = setTimeout(() => { box.hidden = true; }, milliseconds);
  }

  /** The connection to the portal went; it is being made again. */
  away() {
    this.#forget();
    this.#inside = false;
    this.#phase = "away";
    sounds.play("lost");
    this.#curtain(_("Your connection is lost, reconnecting…"), _("Stay on this page. You need no new code."));
  }

  /** Let go of everything. */
  close() {
    clearInterval(this.#ticker);
    this.#stopQuality();
    this.#forget();
    clearTimeout(this.#stuck);
    this.#peer.close();
    this.#connection.persistent = false;
    this.#wakeLock?.release().catch(() => {});
    document.removeEventListener("visibilitychange", this.#visible);
    window.removeEventListener("beforeunload", this.#unload);
    window.removeEventListener("popstate", this.#back);
    element("confirm").close();
    element("remote").srcObject = null;
    element("self-view").srcObject = null;
    element("call-warning").hidden = true;
    devices.release(this.#stream);
    this.#stream = null;
  }

  // Sound and picture.

  // A phone in the background, or a headset pulled out, ends what was captured: open it anew.
  async #revive() {
    const ended = this.#stream?.getTracks().some((track) => track.readyState === "ended");
    if (!ended || this.#reviving) return;
    this.#reviving = true;
    try {
      const fresh = await devices.open({ soundOnly: memory.soundOnly, facing: this.#facing });
      for (const track of fresh.getTracks()) {
        const old = this.#stream.getTracks().find((each) => each.kind === track.kind);
        if (old) track.enabled = old.enabled;
      }
      devices.release(this.#stream);
      this.#stream = fresh;
      this.#hold();
      this.#offer();
    } catch {
      announce(_("Your camera or your microphone stopped. Load this page again to turn it on."));
    } finally {
      this.#reviving = false;
    }
  }

  #hold() {
    for (const track of this.#stream?.getTracks() ?? []) track.onended = () => { this.#revive(); };
    this.#showSelf();
  }

  #offer() {
    this.#send(() => this.#peer.start(this.#stream, this.#iceServers));
    this.#restarting = false;
    clearTimeout(this.#stuck);
  }

  // The network path is gone. Another one may carry the same call on; where none is found a new connection may.
  #restart() {
    if (this.#restarting) {
      this.#offer();
      return;
    }
    if (!this.#inside || !this.#connection.ready) return; // once the portal is back, all begins anew
    this.#restarting = true;
    this.#send(() => this.#peer.restart());
    clearTimeout(this.#stuck);
    this.#unanswered = setTimeout(() => this.#connection.renew(), ANSWER_WITHIN_MS);
    this.#stuck = setTimeout(() => { if (!this.#peer.connected) this.#offer(); }, RESTARTED_WITHIN_MS);
  }

  #restored() {
    this.#restarting = false;
    clearTimeout(this.#stuck);
  }

  // The portal answers one offer at a time; one that comes meanwhile is made once the answer is there.
  #send(make) {
    if (this.#waiting) {
      this.#renew = true;
      return;
    }
    if (!this.#inside || !this.#connection.ready) return;
    this.#waiting = true;
    make().catch(() => { this.#answered(); });
  }

  #answered() {
    this.#waiting = false;
    clearTimeout(this.#unanswered);
  }

  #forget() {
    this.#answered();
    this.#renew = false;
  }

  #picture(stream) {
    const remote = element("remote");
    if (remote.srcObject !== stream) remote.srcObject = stream;
    remote.play().then(
      () => { element("tap").hidden = true; },
      (error) => { if (error.name === "NotAllowedError") element("tap").hidden = false; },
    );
  }

  #quality(text) {
    const box = element("quality");
    box.hidden = !text;
    box.textContent = text;
  }

  // The screen.

  #open() {
    show("call");
    this.#curtain(_("Connecting…"), _("The person in detention sees that you are coming."));
    this.#hold();
    element("remaining").textContent = "–";
    this.#ticker = setInterval(() => this.#tick(), 250);
    document.addEventListener("visibilitychange", this.#visible);
    window.addEventListener("beforeunload", this.#unload);
    window.addEventListener("popstate", this.#back);
    history.pushState({ call: true }, "");
    this.#keepAwake();
  }

  #curtain(text, hint = "") {
    const curtain = element("curtain");
    curtain.hidden = !text;
    element("curtain-text").textContent = text;
    element("curtain-hint").textContent = hint;
  }

  #tick() {
    if (this.#deadline === null) return;
    const left = (this.#deadline - performance.now()) / 1000;
    const timer = element("remaining");
    timer.textContent = clock(left);
    timer.classList.toggle("short", left <= 120);
  }

  #showSelf() {
    const video = element("self-view");
    if (video.srcObject !== this.#stream) video.srcObject = this.#stream;
    video.play().catch(() => {});
    const picture = this.#stream?.getVideoTracks()[0];
    const shown = Boolean(picture?.enabled);
    element("self-off").hidden = shown;
    video.hidden = !shown;
    video.classList.toggle("mirrored", this.#facing === "user");
    element("camera-off").disabled = !picture;
    press(element("camera-off"), !shown);
    press(element("mute"), this.#stream?.getAudioTracks()[0]?.enabled === false);
    devices.list().then(({ videoinput }) => {
      const mobile = matchMedia("(pointer: coarse)").matches;
      element("switch-camera").hidden = !(picture && mobile && videoinput.length > 1);
    }).catch(() => {});
  }

  #keepAwake() {
    navigator.wakeLock?.request("screen").then((lock) => { this.#wakeLock = lock; }).catch(() => {});
  }

  #visible = () => {
    if (document.visibilityState !== "visible") return;
    this.#keepAwake();
    this.#revive();
    element("remote").play().catch(() => {});
  };

  #unload = (event) => { event.preventDefault(); };

  #back = () => {
    history.pushState({ call: true }, "");
    this.#ask();
  };

  // The buttons.

  #buttons() {
    element("mute").onclick = () => {
      const track = this.#stream?.getAudioTracks()[0];
      if (!track) return;
      track.enabled = !track.enabled;
      press(element("mute"), !track.enabled);
      announce(track.enabled ? _("Your microphone is on.") : _("Your microphone is off."));
    };
    element("camera-off").onclick = () => {
      const track = this.#stream?.getVideoTracks()[0];
      if (!track) return;
      track.enabled = !track.enabled;
      this.#showSelf();
      announce(track.enabled ? _("Your camera is on.") : _("Your camera is off."));
    };
    element("switch-camera").onclick = () => { this.#turn().catch(() => {}); };
    element("tap").onclick = () => {
      sounds.audioContext();
      element("remote").play().then(() => { element("tap").hidden = true; }).catch(() => {});
    };
    element("hang-up").onclick = () => this.#ask();
    element("stay").onclick = () => element("confirm").close();
    element("really").onclick = () => {
      element("confirm").close();
      if (!this.#connection.send({ type: "hang_up" })) this.dispatchEvent(new Event("over"));
    };
  }

  #ask() {
    const dialog = element("confirm");
    if (!dialog.open) dialog.showModal();
    element("stay").focus();
  }

  async #turn() {
    const facing = this.#facing === "user" ? "environment" : "user";
    const old = this.#stream.getVideoTracks()[0];
    // Most phones give one camera at a time.
    old.stop();
    let fresh;
    try {
      fresh = await devices.openCamera(facing);
      this.#facing = facing;
    } catch {
      fresh = await devices.openCamera(this.#facing);
    }
    this.#stream.removeTrack(old);
    this.#stream.addTrack(fresh);
    await this.#peer.replace(fresh);
    this.#hold();
  }
}
