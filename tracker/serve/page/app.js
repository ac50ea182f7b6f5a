"use strict";
// One thing is shown at a time, a picture, a clip or the webcam; whatever is chosen next takes its place.

const $ = (id) => document.getElementById(id);
const SIDES = { left: "#56b4e9", right: "#ffa01e", "": "#f0f0f0" };
const CAMERA_WIDTH = 640, TOUCH = 14;
const POINT = matchMedia("(hover: none)").matches ? "Tap" : "Point at";
let limits = null;
// What is shown: {kind, file, header, people, frames, threshold, heatmaps, stop}; its `stop` ends what it is at.
let shown = { kind: "nothing", people: [], stop: () => {} };
let hovered = null;

// --- asking the server

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const fault = await answer.json().catch(() => ({ error: answer.statusText }));
  throw Object.assign(new Error(fault.error || "The server is busy; try again."), { status: answer.status });
}

function form(file, name = file.name) {
  const data = new FormData();
  data.append("file", file, name || "pasted.png");
  return data;
}

const post = (path, file, signal) => ask(path, { method: "POST", body: form(file), signal });
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// --- what is said

function tell(text) { $("status").textContent = text; }

function fail(error) {
  if (error.name === "AbortError") return;
  $("error").textContent = error.message;
  $("error").hidden = false;
  $("work").hidden = true;
  tell("");
}

function work(done, total) {
  $("work").hidden = false;
  if (total) { $("progress").max = total; $("progress").value = Math.min(done, total); }
  else $("progress").removeAttribute("value");
}

// Ends what is shown, and begins something else.
function begin(kind, more) {
  shown.stop();
  shown = { kind, people: [], heatmaps: null, stop: () => {}, ...more };
  hovered = null;
  for (const id of ["error", "work", "show", "downloads", "people", "snap", "tip", "video"]) $(id).hidden = true;
  $("picture").hidden = false;
  $("frame").hidden = kind === "nothing" || kind === "clip";
  $("drop").hidden = !$("frame").hidden;
  $("invite").hidden = kind === "clip";
  $("at-work").hidden = !$("invite").hidden;
  $("at-work").textContent = shown.file?.name;
  $("overlay").width = 0;
  $("frame").classList.toggle("clip", kind === "clip");
  $("video").removeAttribute("src");
  $("heatmap").value = "";
  $("list").replaceChildren();
  $("camera").textContent = kind === "camera" ? "Close the webcam" : "Open the webcam";
  return shown;
}

// --- pictures

async function showPicture(file, self) {
  const abort = new AbortController();
  self.stop = () => abort.abort();
  tell("Looking for people …");
  work();
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (shown !== self) return;
  if (bitmap) setPicture(bitmap, bitmap.width, bitmap.height);
  const found = await (await post("/v1/pose", file, abort.signal)).json();
  if (shown !== self) return;
  if (!bitmap) throw new Error("The server can read this picture, but your browser cannot; convert it to JPEG.");
  take(found);
  $("work").hidden = true;
  tell(`${count(found.people.length)} in ${Math.round(found.took_ms)} ms. ${POINT} a keypoint for its score.`);
  offer([
    ["Overlay (PNG)", () => save(file, "overlay", "overlay.png")],
    ["JSON", () => saveBlob(new Blob([JSON.stringify(found, null, 1)], { type: "application/json" }), "poses.json")],
    ["CSV", () => save(file, "csv", "poses.csv")],
  ]);
  listPeople();
}

// As large as the screen allows, small ones enlarged.
function fit(width, height) {
  $("frame").style.width = `min(100%, ${Math.max(width, 512)}px, ${(78 * width) / height}vh)`;
}

function setPicture(image, width, height) {
  const canvas = $("picture");
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").drawImage(image, 0, 0, width, height);
  fit(width, height);
}

function take(found) {
  shown.header = found;
  shown.size = found.size;
  shown.threshold = found.settings.keypoint_threshold;
  shown.people = found.people;
  if ($("heatmap").options.length === 1) {
    const names = ["all keypoints", ...found.keypoint_names];
    $("heatmap").append(...names.map((name) => new Option(name.replaceAll("_", " "), name)));
  }
  $("show").hidden = false;
  $("heatmap").parentElement.hidden = shown.kind === "camera";
  $("overlay").setAttribute("aria-label", `${count(found.people.length)}; arrow keys go through the keypoints`);
  draw();
}

const count = (n) => (n === 1 ? "1 person" : `${n} people`);
const frames = (n) => (n === 1 ? "1 frame" : `${n} frames`);

async function save(file, output, name) {
  try {
    saveBlob(await (await post(`/v1/pose?output=${output}`, file)).blob(), name);
  } catch (error) { fail(error); }
}

function saveBlob(blob, name) {
  const link = document.createElement("a");
  const stem = (shown.file?.name || "picture").replace(/\.[^.]*$/, "");
  link.href = URL.createObjectURL(blob);
  link.download = `${stem}_${name}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function offer(items) {
  $("links").replaceChildren(...items.map(([text, action]) => {
    const item = document.createElement(typeof action === "string" ? "a" : "button");
    item.textContent = text;
    if (typeof action === "string") { item.href = action; item.download = ""; item.className = "button"; }
    else { item.type = "button"; item.onclick = action; }
    return item;
  }));
  $("downloads").hidden = false;
}

async function showHeatmap() {
  const name = $("heatmap").value, self = shown;
  if (name && !self.heatmaps) {
    tell("Asking for the heatmaps …");
    try {
      const answer = await (await post("/v1/pose?output=heatmaps", self.file)).json();
      self.heatmaps = {};
      for (const [key, { peak, png }] of Object.entries(answer.heatmaps)) {
        const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
        self.heatmaps[key] = { peak, map: await tinted(new Blob([bytes], { type: "image/png" })) };
      }
    } catch (error) { $("heatmap").value = ""; fail(error); return; }
    if (shown !== self) return;
  }
  const peak = self.heatmaps?.[name]?.peak;
  tell(peak === undefined ? "" : `Highest peak of ${name.replaceAll("_", " ")}: ${peak.toFixed(2)}`);
  hovered = null;
  $("tip").hidden = true;
  draw();
}

// A grey picture as one of a colour, as opaque as it was bright.
async function tinted(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const grey = pixels.data[i];
    pixels.data.set([255, 40 + grey * 0.8, 60, Math.min(255, grey * 1.4)], i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// --- clips

async function showClip(file, self) {
  let job = null, isOver = false;
  const abort = new AbortController();
  self.stop = () => {
    isOver = true;
    abort.abort();
    if (job) fetch(`/v1/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
  };
  tell("Sending the clip …");
  work();
  job = await (await post("/v1/track", file, abort.signal)).json();
  if (isOver) { self.stop(); return; }
  while (job.state === "waiting" || job.state === "running") {
    const total = job.num_frames ? ` of about ${job.num_frames}` : "";
    tell(job.state === "waiting" ? `Waiting; ${job.waiting_before} before this clip.` : `Frame ${job.frames}${total}`);
    work(job.frames, job.num_frames);
    await wait(400);
    if (isOver) return;
    job = await (await ask(`/v1/jobs/${job.id}`, { signal: abort.signal })).json();
  }
  if (job.state !== "done") throw new Error(job.error);
  await showTracked(job, self, abort.signal);
}

async function showTracked(job, self, signal) {
  const at = (name) => `/v1/jobs/${job.id}/${name}`;
  const lines = (await (await ask(at("poses.jsonl"), { signal })).text()).trim().split("\n").map((line) => JSON.parse(line));
  [self.header, ...self.frames] = lines;
  self.size = self.header.size;
  self.threshold = self.header.settings.keypoint_threshold ?? 0;
  $("work").hidden = true;
  $("picture").hidden = true;
  $("drop").hidden = true;
  $("frame").hidden = false;
  const video = $("video");
  video.hidden = false;
  video.src = at("overlay.mp4");
  video.play().catch(() => {});
  video.onloadedmetadata = () => fit(video.videoWidth, video.videoHeight);
  const { people, note } = job.result;
  tell(`${count(people)} in ${frames(job.result.frames)}.${note ? ` ${note}.` : ""} ${POINT} a keypoint for its score.`);
  offer([["Overlay (MP4)", at("overlay.mp4")], ["JSON lines", at("poses.jsonl")], ["CSV", at("poses.csv")]]);
  listTracked();
}

// The people of the frame that the video shows.
function follow() {
  if (shown.kind !== "clip" || !shown.frames) return;
  const time = $("video").currentTime + (shown.frames[0]?.time_s ?? 0) + 0.001;
  let low = 0, high = shown.frames.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (shown.frames[middle].time_s <= time) low = middle; else high = middle - 1;
  }
  shown.people = (shown.frames[low]?.people ?? []).filter((person) => person.confirmed);
}

// --- the webcam

async function showCamera() {
  const self = begin("camera", { file: null });
  tell("Waiting for the webcam …");
  const session = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
  let stream;
  try {
    if (!navigator.mediaDevices) throw new Error("Browsers open a webcam on localhost or https:// alone.");
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: CAMERA_WIDTH } } });
  } catch (error) {
    if (shown === self) { begin("nothing"); fail(new Error(`The webcam does not open: ${error.message}`)); }
    return;
  }
  const video = document.createElement("video");
  self.stop = () => stream.getTracks().forEach((track) => track.stop());
  if (shown !== self) { self.stop(); return; }
  Object.assign(video, { srcObject: stream, muted: true, playsInline: true });
  await video.play();
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, CAMERA_WIDTH / video.videoWidth);
  [canvas.width, canvas.height] = [Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)];
  $("snap").hidden = false;
  let before = performance.now(), rate = 0;
  while (shown === self) {
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    const picture = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
    const file = new File([picture], "webcam.jpg", { type: "image/jpeg" });
    try {
      const found = await (await post(`/v1/pose?session=${session}`, file)).json();
      if (shown !== self) return;
      self.file = file;
      setPicture(canvas, canvas.width, canvas.height);
      found.people = found.people.filter((person) => person.confirmed);
      take(found);
      const now = performance.now();
      rate = rate ? 0.8 * rate + 0.2 * (1000 / (now - before)) : 1000 / (now - before);
      before = now;
      tell(`${count(found.people.length)}; ${rate.toFixed(1)} pictures/s, ${Math.round(found.took_ms)} ms of work each`);
    } catch (error) {
      if (shown !== self) return;
      if (error.status !== 503) { begin("nothing"); fail(error); return; }
      tell(error.message);
      await wait(1000);
    }
  }
}

// --- drawing

// As in the overlays of the server.
function colour(id) {
  const hue = 0.35 + id * Math.PI * (3 - Math.sqrt(5));
  return `lab(70 ${55 * Math.cos(hue)} ${55 * Math.sin(hue)})`;
}

// Brings the overlay to the pixels of the screen; gives what maps points of the picture to it.
function place() {
  const canvas = $("overlay"), box = canvas.getBoundingClientRect(), frame = $("frame").getBoundingClientRect();
  [canvas.width, canvas.height] = [Math.round(box.width * devicePixelRatio), Math.round(box.height * devicePixelRatio)];
  const sx = frame.width / shown.size[0], sy = frame.height / shown.size[1];
  return { at: ([x, y]) => [sx * (x + 0.5), sy * (y + 0.5)] };
}

function draw() {
  if (!shown.size) return;
  const { at } = place();
  const context = $("overlay").getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  if (shown.kind !== "clip") {
    drawHeatmap(context, at);
    for (const person of shown.people) drawPerson(context, person, at);
  }
  if (hovered) drawHovered(context, at);
}

function drawHeatmap(context, at) {
  const name = $("heatmap").value;
  if (!name || !shown.heatmaps) return;
  const [width, height] = at(shown.size.map((side) => side - 0.5));
  context.fillStyle = "rgb(0 0 0 / .45)";
  context.fillRect(0, 0, width, height);
  const maps = name in shown.heatmaps ? [shown.heatmaps[name]] : Object.values(shown.heatmaps);
  for (const { map } of maps) context.drawImage(map, 0, 0, width, height);
}

function drawPerson(context, person, at) {
  const [x1, y1] = at(person.box), [x2, y2] = at(person.box.slice(2)), own = colour(person.track_id);
  const line = Math.max(1.5, Math.min(4, (y2 - y1) / 90));
  const points = person.keypoints.map(([x, y, score]) => (x === null ? null : [...at([x, y]), score]));
  const sideOf = (i) => SIDES[shown.header.keypoint_names[i].split("_")[0]] ?? SIDES[""];
  const stroke = (style, width, path) => {
    context.strokeStyle = style; context.lineWidth = width; context.lineCap = "round";
    context.beginPath(); path(); context.stroke();
  };
  if ($("boxes").checked) stroke(own, 2, () => context.rect(x1, y1, x2 - x1, y2 - y1));
  if ($("skeletons").checked) {
    for (const [a, b] of shown.header.edges) {
      if (!(points[a]?.[2] >= shown.threshold && points[b]?.[2] >= shown.threshold)) continue;
      const sides = new Set([sideOf(a), sideOf(b)].filter((side) => side !== SIDES[""]));
      const path = () => { context.moveTo(points[a][0], points[a][1]); context.lineTo(points[b][0], points[b][1]); };
      stroke("rgb(18 20 24 / .55)", 2 * line + 2, path);
      stroke(sides.size === 1 ? [...sides][0] : SIDES[""], 1.6 * line, path);
    }
    points.forEach((point, i) => {
      if (!point) return;
      context.globalAlpha = point[2] >= shown.threshold ? 1 : 0.35;
      context.fillStyle = sideOf(i);
      context.beginPath(); context.arc(point[0], point[1], 1.4 * line + 0.5, 0, 7); context.fill();
      stroke("rgb(18 20 24 / .6)", 1, () => context.arc(point[0], point[1], 1.4 * line + 0.5, 0, 7));
      context.globalAlpha = 1;
    });
  }
  if ($("ids").checked) {
    context.font = "600 14px system-ui, sans-serif";
    const text = String(person.track_id), width = context.measureText(text).width + 10, top = Math.max(0, y1 - 20);
    context.fillStyle = own; context.fillRect(x1 - 1, top, width, 20);
    context.fillStyle = "#12141a"; context.fillText(text, x1 + 4, top + 15);
  }
}

function drawHovered(context, at) {
  const [x, y] = at(hovered.point);
  context.strokeStyle = "#fff"; context.lineWidth = 2;
  context.beginPath(); context.arc(x, y, 8, 0, 7); context.stroke();
  const tip = $("tip");
  tip.textContent = `${hovered.name.replaceAll("_", " ")} ${hovered.point[2].toFixed(2)} · person ${hovered.id}`;
  tip.hidden = false;
  const right = $("frame").clientWidth - tip.offsetWidth - 4;
  tip.style.left = `${Math.max(4, Math.min(x + 12, right))}px`;
  tip.style.top = `${Math.max(4, y - 34)}px`;
}

// --- pointing at keypoints

function keypoints() {
  return shown.people.flatMap((person) => person.keypoints
    .map((point, i) => ({ point, i, id: person.track_id, name: shown.header.keypoint_names[i] }))
    .filter(({ point }) => point[0] !== null));
}

function point(candidate) {
  hovered = candidate ?? null;
  $("tip").hidden = !hovered;
  draw();
}

$("overlay").onpointerdown = $("overlay").onpointermove = (event) => {
  if (!shown.size) return;
  follow();
  const { at } = place();
  const away = ({ point: [x, y] }) => Math.hypot(at([x, y])[0] - event.offsetX, at([x, y])[1] - event.offsetY);
  const [near] = keypoints().map((each) => [away(each), each]).sort(([a], [b]) => a - b);
  point(near && near[0] <= TOUCH ? near[1] : null);
};
// A finger leaves when it is lifted, which must not hide what it asked for.
$("overlay").onpointerleave = (event) => event.pointerType !== "touch" && shown.size && point(null);
$("overlay").onclick = () => {
  const video = $("video");
  if (shown.kind === "clip") { if (video.paused) video.play(); else video.pause(); }
};
$("overlay").onkeydown = (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") point(null);
  if (!step || !shown.size) return;
  event.preventDefault();
  follow();
  const all = keypoints();
  const now = all.findIndex((each) => hovered && each.id === hovered.id && each.i === hovered.i);
  if (all.length) point(all[(now + step + all.length) % all.length]);
  if (hovered) $("overlay").setAttribute("aria-label", $("tip").textContent);
};

function listPeople() {
  $("people").hidden = shown.people.length === 0;
  $("list").replaceChildren(...shown.people.map((person) => {
    const details = document.createElement("details"), summary = document.createElement("summary");
    summary.append(chip(person.track_id), ` score ${person.score.toFixed(2)}`);
    const table = document.createElement("table");
    person.keypoints.forEach(([x, y, score], i) => {
      const name = shown.header.keypoint_names[i], row = table.insertRow();
      row.insertCell().textContent = name.replaceAll("_", " ");
      row.insertCell().textContent = x === null ? "–" : score.toFixed(2);
      row.classList.toggle("faint", score < shown.threshold);
      row.onpointerenter = () => x !== null && point({ point: [x, y, score], i, id: person.track_id, name });
      row.onpointerleave = () => point(null);
    });
    details.append(summary, table);
    return details;
  }));
}

function chip(id) {
  const chip = Object.assign(document.createElement("span"), { className: "chip", textContent: id });
  chip.style.background = colour(id);
  return chip;
}

// Of a clip: when each person is there; the video goes to where they come.
function listTracked() {
  const times = new Map(), start = shown.frames[0]?.time_s ?? 0;
  for (const { time_s, people } of shown.frames) {
    for (const { track_id } of people.filter((person) => person.confirmed)) {
      if (!times.has(track_id)) times.set(track_id, []);
      times.get(track_id).push(time_s - start);
    }
  }
  $("people").hidden = times.size === 0;
  $("list").replaceChildren(...[...times].sort(([a], [b]) => a - b).map(([id, seen]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "person" });
    button.append(chip(id), ` ${seen[0].toFixed(1)}–${seen.at(-1).toFixed(1)} s, ${frames(seen.length)}`);
    button.title = `Show where person ${id} comes`;
    button.onclick = () => { $("video").currentTime = seen[0]; point(null); };
    return button;
  }));
}

// --- choosing

async function open(file) {
  if (limits && file.size > limits.upload_mb * 1e6) {
    begin("nothing");
    fail(new Error(`${file.name} has ${Math.ceil(file.size / 1e6)} MB; the most are ${limits.upload_mb} MB.`));
    return;
  }
  const isClip = file.type.startsWith("video/") || file.type === "image/gif";
  const ways = { picture: showPicture, clip: showClip };
  let kind = isClip ? "clip" : "picture";
  for (const isSecond of [false, true]) {
    const self = begin(kind, { file });
    try {
      await ways[kind](file, self);
      return;
    } catch (error) {
      if (shown !== self) return;
      const other = error.status === 415 && /send it to \/v1\/(pose|track)/.exec(error.message);
      if (!other || isSecond) {
        if (error.name !== "AbortError") begin("nothing");
        fail(error.message.includes(file.name) ? error : new Error(`${file.name || "The picture"}: ${error.message}`));
        return;
      }
      kind = other[1] === "track" ? "clip" : "picture";
    }
  }
}

$("choose").onclick = $("drop").onclick = () => $("file").click();
$("file").onchange = () => { if ($("file").files[0]) open($("file").files[0]); $("file").value = ""; };
$("camera").onclick = () => {
  if (shown.kind === "camera") { begin("nothing"); tell("The webcam is closed."); } else showCamera();
};
$("snap").onclick = () => { if (shown.file) open(shown.file); };
$("cancel").onclick = () => { begin("nothing"); tell("Cancelled."); };
$("heatmap").onchange = showHeatmap;
for (const id of ["boxes", "skeletons", "ids"]) $(id).onchange = draw;
addEventListener("resize", draw);
addEventListener("paste", (event) => { const [file] = event.clipboardData.files; if (file) open(file); });
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file) open(file);
});
addEventListener("pagehide", () => shown.stop());
ask("/v1/limits").then((answer) => answer.json()).then((told) => {
  limits = told;
  $("limits").textContent = `up to ${told.upload_mb} MB, clips up to ${told.clip_s} s`;
}).catch(fail);
