// What htmx does not do by itself: say when the dashboard itself is gone, and let people stop the refresh.
"use strict";

const lost = document.getElementById("lost");
document.addEventListener("htmx:sendError", () => { lost.hidden = false; });
document.addEventListener("htmx:timeout", () => { lost.hidden = false; });
document.addEventListener("htmx:responseError", () => { lost.hidden = false; });
document.addEventListener("htmx:afterSwap", () => { lost.hidden = true; });

const pause = document.getElementById("pause");
const isPaused = () => pause.getAttribute("aria-pressed") === "true";
pause.hidden = false;
pause.addEventListener("click", () => { pause.setAttribute("aria-pressed", String(!isPaused())); });
document.addEventListener("htmx:beforeRequest", (event) => {
  if (isPaused() && event.target.id === "live") event.preventDefault();
});
