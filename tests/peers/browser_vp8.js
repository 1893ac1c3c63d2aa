// A browser that knows no H.264, as some builds of Chromium do: it neither tells of it nor offers it.
for (const side of ["RTCRtpSender", "RTCRtpReceiver"]) {
  const tell = window[side].getCapabilities.bind(window[side]);
  window[side].getCapabilities = (kind) => {
    const known = tell(kind);
    return { ...known, codecs: known.codecs.filter(({ mimeType }) => mimeType.toLowerCase() !== "video/h264") };
  };
}
const add = RTCPeerConnection.prototype.addTransceiver;
RTCPeerConnection.prototype.addTransceiver = function (...words) {
  const transceiver = add.apply(this, words);
  if (transceiver.receiver.track.kind === "video") {
    transceiver.setCodecPreferences(RTCRtpReceiver.getCapabilities("video").codecs);
  }
  return transceiver;
};
