// Keeps the parts of a page marked `data-live` up to date. A part that somebody is using stays as it is.
(() => {
  const EVERY_MS = 4000, AWAY_AFTER_MS = 30000;
  // A form that was refused answers under an address of its own, where nothing can be fetched.
  const source = document.querySelector("[data-live-from]")?.dataset.liveFrom || location.href;
  let fresh = Date.now(), banner = null;
  const inUse = (part) => part.contains(document.activeElement) || part.matches(":hover") && getSelection().toString() !== "";
  async function refresh() {
    if (document.hidden) return;
    try {
      const answer = await fetch(source, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const next = page.getElementById(part.id);
        if (next && !inUse(part) && next.innerHTML !== part.innerHTML) part.replaceChildren(...next.childNodes);
      }
      document.title = page.title;
      fresh = Date.now();
      banner?.remove(); banner = null;
    } catch {
      if (banner || Date.now() - fresh < AWAY_AFTER_MS) return;
      banner = Object.assign(document.createElement("p"), { className: "alert lv-none", role: "status" });
      banner.textContent = `Live updates paused, data from ${new Date(fresh).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
      document.querySelector("main").prepend(banner);
    }
  }
  setInterval(refresh, EVERY_MS);
})();
