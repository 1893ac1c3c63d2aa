// Runs in a page before its own scripts: when each stage of joining was reached, in ms of the wall clock.
(() => {
  const marks = {};
  const mark = (name) => { marks[name] ??= performance.timeOrigin + performance.now(); };

  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    const { type } = JSON.parse(data);
    if (type === 'join') mark('code sent');
    if (type === 'offer') mark('offer sent');
    return send.call(this, data);
  };

  const Known = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Known {
    constructor(...args) {
      super(...args);
      this.addEventListener('iceconnectionstatechange', () => {
        if (['connected', 'completed'].includes(this.iceConnectionState)) mark('ICE done');
      });
      this.addEventListener('connectionstatechange', () => {
        if (this.connectionState === 'connected') mark('DTLS done');
      });
      const count = setInterval(async () => {
        if (this.connectionState === 'closed') { clearInterval(count); return; }
        (await this.getStats()).forEach((entry) => {
          if (entry.type !== 'inbound-rtp' || entry.kind !== 'video') return;
          if (entry.packetsReceived) mark('first packet counted');
          if (entry.framesDecoded) { mark('first frame counted'); clearInterval(count); }
        });
      }, 20);
    }

    setRemoteDescription(...args) {
      mark('answer came');
      return super.setRemoteDescription(...args);
    }
  };

  // Every <video> that is given a stream from elsewhere; the self-view plays what getUserMedia gave.
  document.addEventListener('DOMContentLoaded', () => {
    document.getElementById('remote')?.requestVideoFrameCallback(() => mark('first frame shown'));
  });

  window.__marks = () => marks;
})();
