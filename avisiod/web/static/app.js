// The page: one step after the other, and what the portal says led to the right place.

import { inAppAdvice, pictureless, shortcoming } from "./capabilities.js";
import { Call } from "./call.js";
import { setUpCode } from "./code.js";
import { Connection } from "./connection.js";
import { setUpDevices } from "./preparation.js";
import { announce, element, notice, show } from "./dom.js";
import * as devices from "./devices.js";
import { memory } from "./memory.js";
import * as sounds from "./sounds.js";
import { _, duration, page } from "./texts.js";

const TRY_AGAIN_MS = 2000;

const connection = new Connection();
let stream = null;
let call = null;
let joining = null; // what to send once connected
let leaving = null;
let coming = null; // "code" while a code is looked at, "back" while a token is

// The link of the SMS must outlast a change of language.

const linked = location.pathname.match(new RegExp(page.link, "i"))?.[1];
if (linked) for (const other of document.querySelectorAll(".languages a")) other.href += linked;

// Step 1.

function welcome() {
  notice("in-app", inAppAdvice());
  const lack = shortcoming();
  notice("incapable", lack);
  element("start").disabled = Boolean(lack?.fatal);
  show("welcome", { focus: false });
}

element("start").onclick = () => {
  sounds.audioContext();
  show("devices");
  preparation.begin();
};

element("copy-address").onclick = async () => {
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  element("copied").textContent = _("Copied.");
};

// Step 2.

const preparation = setUpDevices((ready) => {
  stream = ready;
  show("code");
  code.begin();
  if (!connection.ready) connection.open();
});

// Step 3.

const code = setUpCode((join) => {
  sounds.audioContext();
  coming = "code";
  if (connection.send({ type: "join", ...join })) return;
  joining = join;
  connection.open();
});

// Step 4: what the portal says.

const heard = {
  welcome({ charters, converts }) {
    notice("no-picture-now", pictureless(converts));
    const mine = page.charter;
    const known = charters.some((each) => each.language === mine.language && each.digest === mine.digest);
    if (!known && !call) code.charterChanged();
  },
  joined(message) {
    coming = null;
    clearTimeout(leaving);
    leaving = null;
    code.accepted();
    if (!call) {
      call = new Call(connection, stream);
      call.addEventListener("over", () => end({ title: _("You hung up"), advice: "" }, []));
    }
    call.joined(message);
  },
  rejected(message) {
    const back = coming === "back" || call;
    coming = null;
    if (back && (message.why === "busy" || message.why === "throttled")) tryAgain(message.retry_after_s * 1000);
    else if (back) end(page.rejections[message.why], []);
    else code.rejected(message);
  },
  answer(message) {
    call?.answer(message).catch(() => end({
      title: _("Sound and picture could not start"),
      advice: _("Load this page again: if the call is still there, you are back in it without a code."),
    }, [], { keep: true }));
  },
  state(message) {
    call?.state(message);
    if (message.state === "waiting") tryAgain();
  },
  warning: (message) => call?.warning(message),
  shortened: (message) => call?.shortened(message),
  ended({ reason, connected_s: connected, charged }) {
    const facts = [];
    if (connected > 0) facts.push(_("You were connected for {time}.", { time: duration(connected) }));
    if (!charged) facts.push(_("This call costs nothing to the person in detention."));
    sounds.play("ended");
    end(page.endings[reason] ?? { title: _("The call is over"), advice: "" }, facts);
  },
  replaced() {
    end({ title: _("The call goes on elsewhere"), advice: _("You opened it on another page or device. You can close this page.") }, []);
  },
  error(message) {
    if (message.what === "charter_changed") code.charterChanged();
    else if (message.what === "restart_refused") call?.restartRefused();
    else if (message.what === "offer_refused") end({ title: _("Sound and picture could not start"), advice: message.advice }, []);
    else if (call) { call.refused(); announce(message.advice); }
    else code.failed(message.advice);
  },
};

connection.addEventListener("message", ({ detail }) => {
  // Messages of a later version are passed over.
  if (Object.hasOwn(heard, detail.type)) heard[detail.type](detail);
});

connection.addEventListener("open", () => {
  if (joining) connection.send({ type: "join", ...joining });
  joining = null;
  if (!memory.token || (!call && coming !== "back")) return;
  coming = "back";
  connection.send({ type: "resume", token: memory.token });
});

connection.addEventListener("away", () => {
  call?.away();
  // Once the grace is over there is nothing to come back to.
  leaving ??= setTimeout(() => end(page.endings.relative_lost, []), (page.grace_s + 15) * 1000);
});

connection.addEventListener("closed", () => {
  joining = null;
  if (call) end({ title: _("The connection was closed"), advice: _("Load this page again: if the call is still there, you are back in it without a code.") }, [], { keep: true });
  else code.unreachable();
});

// Sound and picture could not be had: the token opens the same call once more, while its time lasts.

function tryAgain(wait = 0) {
  setTimeout(() => {
    if (!call || !memory.token) return;
    coming = "back";
    connection.send({ type: "resume", token: memory.token });
  }, Math.max(wait, TRY_AGAIN_MS));
}

// Step 5.

function end(words, facts, { keep = false } = {}) {
  clearTimeout(leaving);
  leaving = null;
  call?.close();
  call = null;
  stream = null;
  connection.close();
  if (!keep) memory.forget();
  coming = null;
  element("title-end").textContent = words.title;
  element("end-advice").textContent = words.advice;
  element("end-facts").replaceChildren(...facts.map((fact) => {
    const item = document.createElement("li");
    item.textContent = fact;
    return item;
  }));
  show("end");
  announce(`${words.title}. ${words.advice}`);
}

element("again").onclick = () => {
  show("devices");
  preparation.begin();
};

// A refreshed page comes back by itself.

async function comeBack() {
  show("devices");
  element("devices-ask").hidden = true;
  coming = "back";
  try {
    stream = await devices.open({ soundOnly: memory.soundOnly });
  } catch {
    stream = await devices.open({ soundOnly: true }).catch(() => null);
  }
  call = new Call(connection, stream);
  call.addEventListener("over", () => end({ title: _("You hung up"), advice: "" }, []));
  connection.persistent = true;
  connection.open();
}

if (memory.token && !shortcoming()?.fatal) comeBack();
else welcome();

navigator.serviceWorker?.register("/sw.js").catch(() => {});
