// Step 3: the code and the charter. The code goes to the portal through the WebSocket, and nowhere else.

import { element, fieldError, notice } from "./dom.js";
import { _, duration, page } from "./texts.js";

/** Set the step up; `join({code, charter})` when both are given. */
export function setUpCode(join) {
  const input = element("code");
  const accept = element("accept");
  const button = element("join-button");
  let otp = null;
  let waiting = null;

  // The link of the SMS names the call; it stays in the address and goes nowhere else.
  const link = (location.pathname.match(new RegExp(page.link, "i"))?.[1] ?? "").toLowerCase();
  // A portal that had the call elsewhere sent us here with the code; nothing of it stays in the address.
  let brought = location.hash.match(/^#([0-9]{6})$/)?.[1] ?? "";
  if (brought) history.replaceState(null, "", location.pathname + location.search);
  const digits = () => input.value.replace(/\D/g, "");

  input.oninput = () => {
    fieldError(input, "");
    const typed = digits().slice(0, 6);
    if (input.value !== typed) input.value = typed;
  };

  accept.onchange = () => fieldError(accept, "");

  element("join").onsubmit = (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    notice("join-error", null);
    const complete = digits().length === 6;
    fieldError(input, complete ? "" : _("Please type the 6 digits of the SMS."));
    fieldError(accept, accept.checked ? "" : _("To join the call, please accept by ticking this box."));
    if (!complete) input.focus();
    else if (!accept.checked) accept.focus();
    else {
      busy(true);
      join({ code: digits(), link, charter: page.charter });
    }
  };

  function busy(on, text = _("One moment…")) {
    button.setAttribute("aria-disabled", String(on));
    button.textContent = on ? text : _("Join the call");
  }

  function say(words, more) {
    clearInterval(waiting);
    busy(false);
    notice("join-error", words, more);
    element("join-error").scrollIntoView({ block: "nearest" });
  }

  /** Let Android read the SMS, where it can (WebOTP). */
  function readSms() {
    if (!("OTPCredential" in window)) return;
    otp?.abort();
    otp = new AbortController();
    navigator.credentials.get({ otp: { transport: ["sms"] }, signal: otp.signal }).then(
      (credential) => { if (credential?.code) { input.value = credential.code; input.oninput(); } },
      () => {},
    );
  }

  const unreachable = () => ({
    title: _("The service cannot be reached"),
    advice: _("Check your internet connection, then try again. Your code was not used."),
  });

  function lockOut(seconds) {
    let left = Math.ceil(seconds);
    busy(true, _("Wait {time}", { time: duration(left) }));
    waiting = setInterval(() => {
      left -= 1;
      if (left > 0) {
        button.textContent = _("Wait {time}", { time: duration(left) });
        return;
      }
      clearInterval(waiting);
      busy(false);
    }, 1000);
  }

  return {
    begin() {
      clearInterval(waiting);
      busy(false);
      notice("join-error", null);
      input.value = brought;
      brought = "";
      readSms();
    },

    accepted() {
      otp?.abort();
      busy(false);
      input.value = "";
    },

    rejected({ why, url, retry_after_s: retry, tries_left: tries }) {
      if (why === "elsewhere") {
        const typed = digits();
        say(page.rejections.elsewhere, "");
        busy(true);
        location.assign(`${url.replace(/\/+$/, "")}/#${typed}`);
        return;
      }
      let more = "";
      if (tries !== null && tries !== undefined && why === "wrong") more = _("Tries left: {count}", { count: tries });
      if (retry > 0) more = _("You can try again in {time}.", { time: duration(retry) });
      say(page.rejections[why], more);
      if (retry > 0) lockOut(retry);
      if (why !== "throttled" && why !== "busy") {
        input.setAttribute("aria-invalid", "true");
        input.focus();
        input.select();
      }
    },

    /** The portal has a newer charter: show it, and ask again. */
    async charterChanged() {
      busy(false);
      accept.checked = false;
      try {
        const answer = await fetch(location.pathname, { cache: "no-store" });
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        page.charter = JSON.parse(fresh.getElementById("page-data").textContent).charter;
        element("charter").replaceWith(document.adoptNode(fresh.getElementById("charter")));
        say({ title: _("The charter has changed"), advice: _("Please read it again, then accept it. Your code is still valid.") }, "");
      } catch {
        say(unreachable(), "");
      }
    },

    /** The connection closed; it matters only while a code is looked at. */
    unreachable() {
      if (button.getAttribute("aria-disabled") === "true") say(unreachable(), "");
    },

    failed(advice) {
      say({ title: _("That did not work"), advice }, "");
    },
  };
}
