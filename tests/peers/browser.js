// Runs in every page before its own scripts: keeps each RTCPeerConnection with its last figures beyond its closing,
// and whatever the page tells a person (titles, alerts and status messages that are visible) with its moment.
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
    const figures = { state: connection.connectionState, roundTripS: null, inbound: {}, outbound: {}, path: {} };
    report.forEach((entry) => {
      if (entry.type === 'candidate-pair' && entry.nominated) figures.roundTripS = entry.currentRoundTripTime ?? null;
      if (entry.type === 'transport' && entry.selectedCandidatePairId) {
        const pair = report.get(entry.selectedCandidatePairId);
        figures.path = { local: { ...report.get(pair?.localCandidateId) }, remote: { ...report.get(pair?.remoteCandidateId) } };
      }
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

  const told = [];
  const showing = new Map();
  const listen = () => {
    const now = performance.now();
    for (const element of document.querySelectorAll('h1, [role=alert], [role=status]')) {
      const text = element.checkVisibility() ? element.textContent.trim().replace(/\s+/g, ' ') : '';
      if ((showing.get(element) ?? '') === text) continue;
      showing.set(element, text);
      if (text) told.push({ at: now, text });
    }
  };
  document.addEventListener('DOMContentLoaded', () => {
    new MutationObserver(listen).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    listen();
  });

  window.__peers = {
    told: () => told.map(({ at, text }) => ({ ago: (performance.now() - at) / 1000, text })),
    count: () => peers.length,
    connection: (index) => peers.at(index)?.connection,
    figures: async () => {
      await sample();
      return peers.map((peer) => peer.figures);
    },
  };
})();
