// Light or dark: the system's choice until somebody chooses; runs before the first paint.
(() => {
  const root = document.documentElement;
  try { root.dataset.theme = localStorage.getItem("theme") || ""; } catch { /* private mode */ }
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* private mode */ }
    document.dispatchEvent(new Event("theme"));
  });
  // Nobody should have to know what a time zone is called.
  document.addEventListener("DOMContentLoaded", () => {
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    for (const field of document.querySelectorAll("[data-own-timezone]")) field.value ||= own || "";
  });
})();
