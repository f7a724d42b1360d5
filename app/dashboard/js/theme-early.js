// Runs before anything is painted, so that a chosen theme does not flash. A classic script: modules run too late.
try {
  const chosen = localStorage.getItem("tunery-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing follows the system.
}
