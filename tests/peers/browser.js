// Runs in every page before its own scripts: keeps each RTCPeerConnection, and its last figures beyond its closing.
(() => {
  const peers = [];
  const Original = window.RTCPeerConnection;
  if (!Original) return;
  window.RTCPeerConnection = class extends Original {
    constructor(...args) {
      super(...args);
      peers.push({ connection: this, figures: null });
    }
  };

  const figuresOf = async (connection) => {
    const report = await connection.getStats();
    const figures = { state: connection.connectionState, roundTripS: null, inbound: {}, outbound: {} };
    report.forEach((entry) => {
      if (entry.type === 'candidate-pair' && entry.nominated) figures.roundTripS = entry.currentRoundTripTime ?? null;
      const side = { 'inbound-rtp': figures.inbound, 'outbound-rtp': figures.outbound }[entry.type];
      if (side) side[entry.kind] = { ...entry, codec: report.get(entry.codecId)?.mimeType ?? null };
    });
    return figures;
  };

  const sample = async () => {
    for (const peer of peers) {
      if (peer.figures && peer.connection.connectionState === 'closed') {
        peer.figures.state = 'closed';
      } else {
        peer.figures = await figuresOf(peer.connection);
      }
    }
  };
  setInterval(sample, 500);

  window.__peers = {
    count: () => peers.length,
    connection: (index) => peers.at(index)?.connection,
    figures: async () => {
      await sample();
      return peers.map((peer) => peer.figures);
    },
  };
})();
