// Keeps the shell (scripts, style, a page for when there is no network). Pages and the WebSocket always come from the
// portal itself.

const facts = "@FACTS@";
const CACHE = `avisio-${facts.version}`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll([...facts.shell, ...facts.offline])).then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  const url = new URL(request.url);
  if (url.origin !== location.origin) return;
  if (request.mode === "navigate") {
    const language = url.pathname.split("/")[1];
    const offline = facts.offline.find((path) => path.startsWith(`/${language}/`)) || facts.offline[0];
    event.respondWith(fetch(request).catch(() => caches.match(offline)));
  } else if (facts.shell.includes(url.pathname)) {
    event.respondWith(caches.match(request).then((kept) => kept || fetch(request)));
  }
});
