// Classifies pictures with model.onnx, in this browser and nowhere else.
"use strict";

const facts = JSON.parse(document.getElementById("facts").textContent);
const MOST_PIXELS = 100e6; // as everywhere in Trunkline
const SLOWEST = 30; // pictures of the camera a second, at the most

const at = (id) => document.getElementById(id);
const canvas = at("picture");
let session = null;
let camera = null;
let busy = Promise.resolve();

/** Files of this folder: fetched, or from offline.js where the page was opened from a file. */
async function load(name) {
  if (location.protocol !== "file:") {
    const answer = await fetch(name);
    if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
    return new Uint8Array(await answer.arrayBuffer());
  }
  if (!self.OFFLINE) await script("offline.js");
  return Uint8Array.from(atob(self.OFFLINE[name]), (letter) => letter.charCodeAt(0));
}

function script(name) {
  return new Promise((done, failed) => {
    const element = Object.assign(document.createElement("script"), { src: name, onload: done });
    element.onerror = () => failed(new Error(`${name} is missing`));
    document.head.append(element);
  });
}

async function start() {
  const [model, glue, wasm] = await Promise.all(
    ["model.onnx", "ort/ort-wasm-simd-threaded.mjs", "ort/ort-wasm-simd-threaded.wasm"].map(load),
  );
  ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
  ort.env.wasm.wasmBinary = wasm.buffer;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

/** RGB bytes of a picture, and its size. */
function pixels(source, width, height) {
  const own = new OffscreenCanvas(width, height);
  const context = own.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff"; // transparency is laid on white
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  if (rgba[3] !== 255) throw new Error(`${width} x ${height} pixels are too many for this browser`); // it drew nothing
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return { rgb, width, height };
}

/** What the model says of a picture. */
async function ask(given) {
  const began = performance.now();
  const { rgb, width, height } = resized(given, facts.size);
  const out = await session.run({ image: new ort.Tensor("uint8", rgb, [1, height, width, 3]) });
  const anomaly = out.anomaly_score ? out.anomaly_score.data[0] : null;
  const scores = facts.labels.map((label, place) => ({
    label,
    score: out.scores.data[place],
    accepted: Boolean(out.accepted.data[place]),
  }));
  const size = `${given.width} x ${given.height} pixels`;
  return { scores, unsure: Boolean(out.unsure.data[0]), anomaly, size, ms: performance.now() - began };
}

function show(result) {
  const ranked = [...result.scores].sort((a, b) => b.score - a.score);
  const taken = ranked.filter((one) => one.accepted).map((one) => one.label);
  say(taken.length ? taken.join(", ") : result.unsure ? `${ranked[0].label}?` : "No label");
  at("unsure").hidden = !result.unsure;
  at("scores").replaceChildren(...ranked.slice(0, 20).map(row));
  const cost = `${result.size}, ${result.ms.toFixed(0)} ms`;
  at("detail").textContent = result.anomaly === null ? cost : `anomaly score ${result.anomaly.toFixed(2)}; ${cost}`;
}

function row({ label, score, accepted }) {
  const item = document.createElement("li");
  item.className = accepted ? "taken" : "";
  const name = Object.assign(document.createElement("span"), { className: "name", textContent: label });
  const value = Object.assign(document.createElement("span"), { className: "score", textContent: score.toFixed(3) });
  const bar = Object.assign(document.createElement("progress"), { className: "bar", max: 1, value: score });
  bar.setAttribute("aria-label", label);
  item.append(name, value, bar);
  return item;
}

function say(text, small = false) {
  if (at("answer").textContent !== text) at("answer").textContent = text;
  at("answer").classList.toggle("small", small);
}

function fail(error) {
  say(error.message || String(error), true);
  at("unsure").hidden = true;
  at("scores").replaceChildren();
  at("detail").textContent = "";
}

function draw(source, width, height, name) {
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").drawImage(source, 0, 0, width, height);
  canvas.setAttribute("aria-label", name);
  at("hint").hidden = true;
}

async function picture(file) {
  stopCamera();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name || "This"} is no picture that this browser can read`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    throw new Error(`Expected at most ${MOST_PIXELS / 1e6} million pixels, got ${width} x ${height}`);
  }
  draw(bitmap, width, height, file.name || "Picture");
  show(await ask(pixels(bitmap, width, height)));
  bitmap.close();
}

/** One after the other: a model answers one picture at a time. */
function queue(work) {
  at("result").setAttribute("aria-busy", "true");
  const mine = busy.then(work).catch(fail).then(() => {
    if (busy === mine) at("result").setAttribute("aria-busy", "false");
  });
  busy = mine;
}

async function useCamera() {
  if (!navigator.mediaDevices) throw new Error("The camera needs a page from this machine or over https");
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  const video = Object.assign(document.createElement("video"), { srcObject: stream, muted: true, playsInline: true });
  await video.play();
  camera = { stream, video };
  at("camera").setAttribute("aria-pressed", "true");
  at("camera").textContent = "Stop the camera";
  queue(frames);
}

async function frames() {
  while (camera) {
    const began = performance.now();
    const { videoWidth: width, videoHeight: height } = camera.video;
    if (width && height) {
      draw(camera.video, width, height, "Camera");
      show(await ask(pixels(camera.video, width, height)));
    }
    const rest = Math.max(0, 1000 / SLOWEST - (performance.now() - began));
    await new Promise((next) => setTimeout(next, rest));
  }
}

function stopCamera() {
  if (!camera) return;
  camera.stream.getTracks().forEach((track) => track.stop());
  camera = null;
  at("camera").setAttribute("aria-pressed", "false");
  at("camera").textContent = "Use the camera";
}

function listen() {
  at("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    event.target.value = ""; // so that the same picture can be chosen again
    if (file) open(file);
  });
  at("camera").addEventListener("click", () => (camera ? stopCamera() : useCamera().catch(fail)));
  const drop = document.documentElement;
  const over = (on) => (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", on);
  };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (event) => {
    over(false)(event);
    const [file] = event.dataTransfer.files;
    if (file) open(file);
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file) open(file);
  });
}

function open(file) {
  stopCamera();
  queue(() => picture(file));
}

listen();
queue(async () => {
  try {
    await start();
    say("Choose a picture", true);
  } catch (error) {
    at("camera").disabled = at("file").disabled = true;
    throw new Error(`The model could not be loaded: ${error.message}`);
  }
});
