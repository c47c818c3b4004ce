// Sets the colour scheme that was chosen, before anything is drawn.  No module, so that
// it runs at once.
"use strict";
try {
  const chosen = localStorage.getItem("memq.scheme");
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.scheme = chosen;
  }
} catch {
  // A browser that stores nothing follows the system.
}
