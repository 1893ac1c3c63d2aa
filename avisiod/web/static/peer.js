// Sound and picture: one RTCPeerConnection at a time, always offered by the page.

const MAX_VIDEO_BPS = 900_000;
const LOST_AFTER_MS = 2000;

/** Events: "track" (detail: the remote MediaStream), "connected", "lost" (its network path; `restart` may help). */
export class Peer extends EventTarget {
  #send;
  #pc = null;
  #early = null;
  #lost = null;

  constructor(send) {
    super();
    this.#send = send;
  }

  get connection() {
    return this.#pc;
  }

  /** Offer `stream`; whatever went on before is dropped. */
  async start(stream, iceServers) {
    this.close();
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#pc = pc;
    this.#early = [];
    const remote = new MediaStream();
    pc.ontrack = ({ track }) => {
      remote.addTrack(track);
      this.dispatchEvent(new CustomEvent("track", { detail: remote }));
    };
    pc.onicecandidate = ({ candidate }) => this.#trickle(pc, candidate?.candidate ?? "");
    pc.onconnectionstatechange = () => this.#changed(pc);
    for (const kind of ["audio", "video"]) {
      const track = stream?.getTracks().find((each) => each.kind === kind);
      const options = { direction: track ? "sendrecv" : "recvonly", streams: track ? [stream] : [] };
      const transceiver = pc.addTransceiver(track ?? kind, options);
      if (kind === "video") preferH264(transceiver);
    }
    await this.#offer(pc);
  }

  /** Look for another network path (ICE restart); sound, picture and encryption go on over it. */
  async restart() {
    const pc = this.#pc;
    if (pc?.signalingState !== "stable") throw new Error("there is nothing to restart");
    clearTimeout(this.#lost);
    this.#early = [];
    await this.#offer(pc, { iceRestart: true });
  }

  get connected() {
    return this.#pc?.connectionState === "connected";
  }

  async #offer(pc, options = {}) {
    await pc.setLocalDescription(await pc.createOffer(options));
    if (pc !== this.#pc) return;
    this.#send({ type: "offer", sdp: pc.localDescription.sdp });
    const early = this.#early ?? [];
    this.#early = null;
    for (const candidate of early) this.#send({ type: "candidate", candidate });
  }

  /** Take the portal's answer. */
  async answered(sdp) {
    const pc = this.#pc;
    if (pc?.signalingState !== "have-local-offer") return;
    await pc.setRemoteDescription({ type: "answer", sdp });
    await limit(pc);
  }

  /** Whether the portal took the picture; it may have refused it. */
  get hasVideo() {
    const video = this.#pc?.getTransceivers().find((each) => each.receiver.track.kind === "video");
    return Boolean(video && video.currentDirection !== "inactive" && video.currentDirection !== "stopped");
  }

  async replace(track) {
    const sender = this.#pc?.getSenders().find((each) => each.track?.kind === track.kind);
    await sender?.replaceTrack(track);
  }

  close() {
    clearTimeout(this.#lost);
    const pc = this.#pc;
    this.#pc = null;
    pc?.close();
  }

  #trickle(pc, candidate) {
    if (pc !== this.#pc) return;
    if (this.#early) this.#early.push(candidate);
    else this.#send({ type: "candidate", candidate });
  }

  #changed(pc) {
    if (pc !== this.#pc) return;
    clearTimeout(this.#lost);
    if (pc.connectionState === "connected") this.dispatchEvent(new Event("connected"));
    if (pc.connectionState === "failed") this.dispatchEvent(new Event("lost"));
    if (pc.connectionState === "disconnected") {
      this.#lost = setTimeout(() => this.dispatchEvent(new Event("lost")), LOST_AFTER_MS);
    }
  }
}

// The phones speak H.264, best constrained baseline; the others stay in the offer, for a box that can convert.
function preferH264(transceiver) {
  const codecs = window.RTCRtpReceiver?.getCapabilities?.("video")?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const rank = ({ mimeType, sdpFmtpLine = "" }) => {
    if (mimeType.toLowerCase() !== "video/h264") return 2;
    return /profile-level-id=42e0/i.test(sdpFmtpLine) ? 0 : 1;
  };
  const sorted = codecs.map((codec, at) => [rank(codec), at, codec]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  try {
    transceiver.setCodecPreferences(sorted.map(([, , codec]) => codec));
  } catch {
    // A browser that minds the order keeps its own.
  }
}

async function limit(pc) {
  const sender = pc.getSenders().find((each) => each.track?.kind === "video");
  if (!sender) return;
  const parameters = sender.getParameters();
  if (!parameters.encodings?.length) return;
  parameters.encodings[0].maxBitrate = MAX_VIDEO_BPS;
  await sender.setParameters(parameters).catch(() => {});
}
