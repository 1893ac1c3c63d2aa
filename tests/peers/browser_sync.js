// Replaces camera and microphone: a white flash and a 1 kHz beep in the same instant, at the beginning of every second
// of the machine's wall clock, so that parties on one machine can be compared.
(() => {
  const FLASH_S = 0.1;
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const audio = new AudioContext({ sampleRate: 48000, latencyHint: 'interactive' });
    await audio.resume();
    const tone = new OscillatorNode(audio, { frequency: 1000 });
    const gain = new GainNode(audio, { gain: 0 });
    const destination = new MediaStreamAudioDestinationNode(audio);
    tone.connect(gain).connect(destination);
    tone.start();

    // The context's clock stands still between blocks: the smallest of many differences is the true one.
    const wall = () => (performance.timeOrigin + performance.now()) / 1000;
    let ahead = Infinity;
    const compare = () => { ahead = Math.min(ahead, wall() - audio.currentTime); };
    for (let n = 0; n < 25; n += 1) {
      compare();
      await new Promise((done) => { setTimeout(done, 4); });
    }

    const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 480 });
    const paint = canvas.getContext('2d', { alpha: false });
    let next = Math.ceil(wall()) + 1;
    const draw = () => {
      compare();
      const now = wall();
      while (next < now + 2) {
        const at = next - ahead;
        gain.gain.setValueAtTime(0.5, at);
        gain.gain.setValueAtTime(0, at + FLASH_S);
        next += 1;
      }
      const flashing = now % 1 < FLASH_S;
      paint.fillStyle = flashing ? '#fff' : '#202020';
      paint.fillRect(0, 0, 640, 480);
      if (!flashing) {
        paint.fillStyle = '#468';
        paint.fillRect((now * 200) % 600, 380, 40, 40);
      }
    };
    setInterval(draw, 10);
    const tracks = [];
    if (constraints.video) tracks.push(...canvas.captureStream(25).getVideoTracks());
    if (constraints.audio) tracks.push(...destination.stream.getAudioTracks());
    return new MediaStream(tracks);
  };
})();
