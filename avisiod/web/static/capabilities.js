// What this browser can do, found out before a code is spent.

import { _, page } from "./texts.js";

const IN_APP = [
  [/FBAN|FBAV|FB_IAB/i, "Facebook"],
  [/Instagram/i, "Instagram"],
  [/Snapchat/i, "Snapchat"],
  [/TikTok|musical_ly|BytedanceWebview/i, "TikTok"],
  [/\bLine\//i, "Line"],
  [/MicroMessenger/i, "WeChat"],
  [/LinkedInApp/i, "LinkedIn"],
  [/\bGSA\//i, "Google"],
  [/Twitter/i, "X"],
];

const isApple = (agent) => /iPhone|iPad|iPod/.test(agent) || (/Macintosh/.test(agent) && navigator.maxTouchPoints > 1);

/** The app whose built-in browser this is ("" for one without a name), or null in a browser of its own. */
export function inApp(agent = navigator.userAgent) {
  for (const [pattern, name] of IN_APP) if (pattern.test(agent)) return name;
  if (/Android/.test(agent) && /; wv\)/.test(agent)) return "";
  // iOS: a web view carries no "Safari"; installed to the home screen it carries none either.
  const installed = window.matchMedia("(display-mode: standalone)").matches || navigator.standalone === true;
  if (/iPhone|iPad|iPod/.test(agent) && !/Safari\//.test(agent) && !installed) return "";
  return null;
}

/** What to do in an in-app browser: {title, advice}, or null. */
export function inAppAdvice(agent = navigator.userAgent) {
  const name = inApp(agent);
  if (name === null) return null;
  const title = name
    ? _("You are in the browser of the app {app}", { app: name })
    : _("You are in the browser of another app");
  const advice = isApple(agent)
    ? _("It may block your camera. Open this page in Safari: tap the share button or the dots “…”, then “Open in Safari”. Or copy the address and paste it in Safari.")
    : _("It may block your camera. Open this page in Chrome: tap the dots “⋮”, then “Open in browser”. Or copy the address and paste it in Chrome.");
  return { title, advice };
}

/** Why no call is possible here: {title, advice, fatal}, or null. `fatal`: there is no sense in going on. */
export function shortcoming() {
  if (!window.isSecureContext) {
    return {
      title: _("This address is not secure"),
      advice: _("Browsers give the camera to secure pages only. Type the address again, beginning with https://."),
      fatal: true,
    };
  }
  const supported = window.RTCPeerConnection && window.WebSocket && navigator.mediaDevices?.getUserMedia;
  if (!supported) {
    return {
      title: _("This browser cannot make video calls"),
      advice: _("Please use a recent version of Chrome, Firefox, Edge or Safari. Your code stays valid meanwhile."),
      fatal: true,
    };
  }
  if (!canH264() && !page.converts) {
    return {
      title: _("This browser may not show the picture of the call"),
      advice: _("It does not know the video format H.264 of the phones. You can go on with sound, or better use Chrome, Edge or Safari. Your code stays valid meanwhile."),
      fatal: false,
    };
  }
  return null;
}

/** What to tell before the code is given, where the portal can convert the picture but not now: {title, advice}, or null. */
export function pictureless(converts) {
  if (canH264() || converts || !page.converts) return null;
  return {
    title: _("Without picture at the moment"),
    advice: _("This browser does not know the video format of the phones, and nothing is free to convert it. You can join with sound, or better open this page in Chrome, Edge or Safari. Your code stays valid meanwhile."),
  };
}

/** Whether this browser knows the video format of the phones. */
export function canH264() {
  const knows = (side) => {
    // Where a browser does not tell, it is only found out in the call.
    const codecs = window[side]?.getCapabilities?.("video")?.codecs;
    return !codecs || codecs.some((codec) => codec.mimeType.toLowerCase() === "video/h264");
  };
  return knows("RTCRtpSender") && knows("RTCRtpReceiver");
}
