// Replaces camera and microphone: a white flash and a 1 kHz beep in the same instant, at the beginning of every second
// of the machine's wall clock, so that parties on one machine can be compared.
(() => {
  const FLASH_S = 0.1;
  const RATE = 25;
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

    // One picture for each 1/25 s of the wall clock, stamped with its nominal instant: a captured canvas would show
    // the flash in whatever picture came next, up to 40 ms late.
    const canvas = new OffscreenCanvas(640, 480);
    const paint = canvas.getContext('2d', { alpha: false });
    const generator = new MediaStreamTrackGenerator({ kind: 'video' });
    const writer = generator.writable.getWriter();
    let next = Math.ceil(wall()) + 1;
    const draw = (at) => {
      compare();
      while (next < at + 2) {
        const begins = next - ahead;
        gain.gain.setValueAtTime(0.5, begins);
        gain.gain.setValueAtTime(0, begins + FLASH_S);
        next += 1;
      }
      // Half a picture's tolerance: sums of 1/25 are not exact.
      const flashing = (at + 0.02) % 1 < FLASH_S + 0.02;
      paint.fillStyle = flashing ? '#fff' : '#202020';
      paint.fillRect(0, 0, 640, 480);
      if (!flashing) {
        paint.fillStyle = '#468';
        paint.fillRect((at * 200) % 600, 380, 40, 40);
      }
      const frame = new VideoFrame(canvas, { timestamp: Math.round(at * 1e6) });
      writer.write(frame).catch(() => {});
    };
    let number = Math.ceil(wall() * RATE);
    setInterval(() => {
      const due = Math.floor(wall() * RATE);
      if (number > due) return;
      number = due; // pictures that were missed are left out, as by a busy camera
      draw(number / RATE);
      number += 1;
    }, 2);
    const tracks = [];
    if (constraints.video) tracks.push(generator);
    if (constraints.audio) tracks.push(...destination.stream.getAudioTracks());
    return new MediaStream(tracks);
  };
})();
