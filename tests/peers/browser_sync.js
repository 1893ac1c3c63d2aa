// Replaces camera and microphone: a white flash and a 1 kHz beep in the same instant, at the beginning of each second.
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

    const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 480 });
    const paint = canvas.getContext('2d', { alpha: false });
    let scheduled = Math.ceil(audio.currentTime);
    const draw = () => {
      const now = audio.currentTime;
      while (scheduled < now + 2) {
        gain.gain.setValueAtTime(0.5, scheduled);
        gain.gain.setValueAtTime(0, scheduled + FLASH_S);
        scheduled += 1;
      }
      const flashing = now % 1 < FLASH_S && now >= 1;
      paint.fillStyle = flashing ? '#fff' : '#202020';
      paint.fillRect(0, 0, 640, 480);
      if (!flashing) {
        paint.fillStyle = '#468';
        paint.fillRect((now * 200) % 600, 380, 40, 40);
      }
    };
    setInterval(draw, 20);
    const tracks = [];
    if (constraints.video) tracks.push(...canvas.captureStream(25).getVideoTracks());
    if (constraints.audio) tracks.push(...destination.stream.getAudioTracks());
    return new MediaStream(tracks);
  };
})();
