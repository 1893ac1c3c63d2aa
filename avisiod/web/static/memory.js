// What a refresh of the page must find again: in this tab only, and only until the call is over.

const store = (() => {
  try {
    return window.sessionStorage;
  } catch {
    return null; // storage is blocked: a refresh will need a new code
  }
})();

const TOKEN = "avisio.token";
const SOUND_ONLY = "avisio.sound-only";

export const memory = {
  get token() { return store?.getItem(TOKEN) ?? ""; },
  set token(value) { store?.setItem(TOKEN, value); },
  get soundOnly() { return store?.getItem(SOUND_ONLY) === "yes"; },
  set soundOnly(on) { store?.setItem(SOUND_ONLY, on ? "yes" : "no"); },
  forget() { store?.removeItem(TOKEN); store?.removeItem(SOUND_ONLY); },
};
