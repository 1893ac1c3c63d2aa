// Short tones, made here: no file is fetched, nothing plays before the person has touched the page.

let context = null;

/** The audio context, made and woken by a touch or a key. */
export function audioContext() {
  const Context = window.AudioContext || window.webkitAudioContext;
  context ??= Context ? new Context() : null;
  if (context?.state === "suspended") context.resume().catch(() => {});
  return context;
}

const TUNES = {
  joined: [[523, 0, 0.12], [784, 0.14, 0.2]],
  warning: [[880, 0, 0.16], [880, 0.26, 0.16]],
  lost: [[440, 0, 0.2], [349, 0.22, 0.3]],
  ended: [[523, 0, 0.16], [392, 0.18, 0.16], [330, 0.36, 0.3]],
};

/** Play a tune by its name; silent where sound is not possible. */
export function play(name) {
  const audio = audioContext();
  if (!audio || audio.state === "closed") return;
  for (const [frequency, start, length] of TUNES[name]) {
    const from = audio.currentTime + 0.02 + start;
    const oscillator = audio.createOscillator();
    const gain = audio.createGain();
    oscillator.frequency.value = frequency;
    gain.gain.setValueAtTime(0, from);
    gain.gain.linearRampToValueAtTime(0.14, from + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.001, from + length);
    oscillator.connect(gain).connect(audio.destination);
    oscillator.start(from);
    oscillator.stop(from + length + 0.02);
  }
}
