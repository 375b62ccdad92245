// The page: a camera or a video in, skeletons out. No request is made once it has loaded.

import { drawPerson, drawSpace, drawTimeline, shade } from "./draw.js";
import { Follower } from "./follow.js";
import { able, load } from "./network.js";

const $ = (id) => document.getElementById(id);
const BEST = 4; // actions that are shown
const LARGEST = 960; // px of the longer side of the pictures that are looked at
const video = document.createElement("video");
video.muted = video.playsInline = true;
const view = { turn: 0.5, tilt: 0.2, mirrored: false };
let network, follower, rates = [], person = null, history = [], running = 0, spent = [], lastTime = 0;

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").classList.toggle("bad", bad);
}

// ------------------------------------------------------------------------------- loading

async function begin() {
  const why = able();
  if (why) { $("loading").hidden = true; say(why, true); return; }
  say("Loading the network ...");
  try {
    network = await load({ said: (share) => { $("loading").value = share; } });
    follower = new Follower(network);
    say("Measuring this machine ...");
    rates = await network.rates();
  } catch (error) {
    $("loading").hidden = true;
    say(`The network cannot run here: ${error.message}`, true);
    return;
  }
  $("loading").hidden = true;
  $("exit").max = rates.length - 1;
  $("exit").value = rates.length - 1;
  $("where").textContent = `${network.where}.`;
  for (const id of ["exit", "camera", "file"]) $(id).disabled = false;
  network.card.labels = network.card.labels.map((label) => label.replaceAll("_", " "));
  for (let n = 0; n < Math.min(BEST, network.card.labels.length); n++) {
    $("bars").appendChild(document.createElement("div")).append(document.createElement("span"), document.createElement("span"));
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", drawAll);
  chooseExit();
  drawAll();
  say(navigator.mediaDevices ? "Ready." : "Ready. There is no camera for pages that are not served from this machine or by HTTPS.");
  $("camera").disabled = !navigator.mediaDevices;
  document.body.dataset.ready = network.where;
}

// ------------------------------------------------------------------------------- sources

async function camera() {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" }, audio: false });
    stop();
    video.srcObject = stream;
    mirror(true);
    await play();
  } catch (error) {
    const known = { NotAllowedError: "The camera was not allowed. Allow it beside the address of this page, then try again.",
      NotFoundError: "There is no camera here. Open a video instead.",
      NotReadableError: "Another program has the camera. Close that program, then try again." };
    say(known[error.name] || `The camera cannot be used: ${error.message}`, true);
  }
}

/** Before a camera the page is a mirror. */
function mirror(on) {
  view.mirrored = on;
  $("picture").classList.toggle("mirrored", on);
}

async function open(file) {
  if (!file) return;
  stop();
  mirror(false);
  video.src = URL.createObjectURL(file);
  video.loop = true;
  try {
    await play();
  } catch {
    stop();
    say("This browser cannot play that video. Try an .mp4 with H.264.", true);
  }
}

async function play() {
  await video.play();
  $("invitation").hidden = true;
  for (const id of ["pause", "again", "stop"]) $(id).disabled = false;
  $("pause").textContent = "Pause";
  follower.start(null);
  history = [];
  loop(++running);
}

function stop() {
  running++;
  video.pause();
  if (video.srcObject) video.srcObject.getTracks().forEach((track) => track.stop());
  if (video.src) URL.revokeObjectURL(video.src);
  video.srcObject = null;
  video.removeAttribute("src");
  person = null;
  $("invitation").hidden = false;
  for (const id of ["pause", "again", "stop"]) $(id).disabled = true;
  const canvas = $("picture");
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  say("Ready.");
  drawAll();
}

function pause() {
  if ($("pause").disabled) return;
  video.paused ? video.play() : video.pause();
  $("pause").textContent = video.paused ? "Go on" : "Pause";
}

// ------------------------------------------------------------------------------- frames

async function loop(own) {
  const canvas = $("picture"), context = canvas.getContext("2d", { willReadFrequently: true });
  let last = -1;
  while (own === running) {
    await new Promise(requestAnimationFrame);
    if (own !== running || video.currentTime === last || video.readyState < 2) continue;
    if (video.currentTime < last) history = [];
    last = video.currentTime;
    const ratio = Math.min(1, LARGEST / Math.max(video.videoWidth, video.videoHeight));
    const width = Math.round(video.videoWidth * ratio), height = Math.round(video.videoHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const start = performance.now();
    context.drawImage(video, 0, 0, width, height);
    const picture = context.getImageData(0, 0, width, height);
    try {
      person = await follower.push(picture, last);
    } catch (error) {
      stop();
      say(`The network has failed: ${error.message}`, true);
      return;
    }
    if (own !== running) return;
    context.putImageData(picture, 0, 0); // the very frame that was looked at
    spent = [...spent, performance.now() - start].slice(-30);
    lastTime = last;
    if (person && person.action) history.push([last, person.action.indexOf(Math.max(...person.action))]);
    history = history.filter(([time]) => time > last - 31);
    say(person ? "" : "Looking for somebody: the whole body should be in the picture.");
    drawAll();
    document.body.dataset.frames = Number(document.body.dataset.frames || 0) + 1;
  }
}

function drawAll() {
  if (!network) return;
  if (person) drawPerson($("picture"), person, network.card);
  drawSpace($("space"), person, network.card, view);
  drawTimeline($("timeline"), history, network.card.labels, lastTime);
  const action = person && person.action, { labels } = network.card;
  const order = action ? labels.map((_, n) => n).sort((a, b) => action[b] - action[a]) : [];
  [...$("bars").children].forEach((bar, n) => {
    const best = order[n];
    bar.style.setProperty("--p", action ? action[best] : 0);
    bar.style.setProperty("--bar", shade(best || 0));
    bar.firstChild.textContent = action ? labels[best] : "-";
    bar.lastChild.textContent = action ? `${Math.round(100 * action[best])} %` : "";
  });
  const now = spent.length ? spent.reduce((a, b) => a + b, 0) / spent.length : 0;
  const reached = now && running && !$("stop").disabled ? `, now ${(1000 / now).toFixed(0)} a second` : "";
  $("rate").textContent = `up to ${rates[network.now].toFixed(0)} frames a second here${reached}`;
}

function chooseExit() {
  network.use(Number($("exit").value));
  $("exitName").textContent = `${network.now + 1} of ${rates.length}`;
  spent = [];
  drawAll();
}

// ------------------------------------------------------------------------------- hands

$("camera").addEventListener("click", camera);
$("file").addEventListener("change", (event) => open(event.target.files[0]));
$("pause").addEventListener("click", pause);
$("again").addEventListener("click", () => follower.start(null));
$("stop").addEventListener("click", stop);
$("exit").addEventListener("input", chooseExit);
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("stage").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && network) open(event.dataTransfer.files[0]);
  });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !network || event.target.matches("input")) return;
  const step = { "[": -1, "]": 1 }[event.key];
  if (event.key === " " && !event.target.matches("button")) pause();
  else if (event.key === "r" || event.key === "R") follower.start(null);
  else if (event.key === "Escape") stop();
  else if (step) {
    $("exit").value = Number($("exit").value) + step;
    chooseExit();
  } else return;
  if (!event.target.matches("button")) event.preventDefault();
});
$("space").addEventListener("pointerdown", (event) => event.target.setPointerCapture(event.pointerId));
$("space").addEventListener("pointermove", (event) => event.buttons && turn(event.movementX * 0.01, event.movementY * 0.01));
$("space").addEventListener("keydown", (event) => {
  const [across, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [];
  if (across === undefined) return;
  event.preventDefault();
  turn(across * 0.1, up * 0.1);
});

function turn(across, up) {
  view.turn += across;
  view.tilt = Math.min(Math.max(view.tilt + up, -1.4), 1.4);
  if (network) drawSpace($("space"), person, network.card, view);
}

begin();
