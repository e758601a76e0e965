// A service worker that caches the page's files, so that the page opens offline.

const KEPT = "kinglet";

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== location.origin) return;
  event.respondWith(
    caches.open(KEPT).then(async (kept) => {
      try {
        const fresh = await fetch(event.request);
        if (fresh.ok) kept.put(event.request, fresh.clone());
        return fresh;
      } catch (error) {
        const old = await kept.match(event.request);
        if (old) return old;
        throw error;
      }
    }),
  );
});
// Caches all files on the first load.
self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(FILES)));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
