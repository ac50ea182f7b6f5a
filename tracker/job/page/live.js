"use strict";
// Pictures come as MJPEG, facts as server-sent events; a pause closes both, and keeps the last picture.

const $ = (id) => document.getElementById(id);
let events = null;

function show(facts) {
  $("source").textContent = document.title = facts.source;
  $("fps").textContent = facts.fps ?? "–";
  $("latency").textContent = `${Math.round(facts.latency_ms)} ms`;
  $("latency-name").title = facts.is_live ? "from the camera to the picture here" : "from the tracker to the picture here";
  $("count").textContent = facts.people.filter((person) => person.confirmed).length;
  $("state").textContent = "";
}

function open() {
  $("picture").src = `stream.mjpg?${Date.now()}`;
  events = new EventSource("people");
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.addEventListener("end", () => { close("The run has ended."); $("pause").disabled = true; });
  events.onerror = () => {
    close("No pictures come: the run has ended, or too many are watching.");
    $("pause").textContent = "Try again";
  };
}

function close(why) {
  const image = $("picture"), canvas = document.createElement("canvas");
  if (image.naturalWidth) {
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    image.src = canvas.toDataURL("image/jpeg");
  } else {
    image.removeAttribute("src");
  }
  events?.close();
  events = null;
  $("state").textContent = why;
}

function toggle() {
  if ($("pause").disabled) return;
  const pauses = events !== null;
  if (pauses) close("Paused; the tracker goes on."); else open();
  $("pause").setAttribute("aria-pressed", pauses);
  $("pause").textContent = pauses ? "Go on" : "Pause";
}

$("pause").onclick = toggle;
document.addEventListener("keydown", (event) => {
  if (event.key === " " && event.target !== $("pause")) { event.preventDefault(); toggle(); }
});
addEventListener("load", open);  // not before, or the page would never be loaded
