"use strict";
// The page of `corolla serve`: photos in, names out. Nothing is loaded from elsewhere, and nothing is stored.

const MOST_SIDE = 1024; // [px] the model sees a few hundred; more would only make the way to the server longer
const WORTH_SHRINKING = 300000; // [bytes]
const AT_ONCE = 3; // photos on their way at a time
const PATIENCE = 15; // times that a server that is busy, or still loading, is asked again

const by = (id) => document.getElementById(id);
const results = by("results"), zone = by("drop"), status = by("status");
const waiting = [];
let working = 0, locked = false, key = "", drawings = null;

// Asking ------------------------------------------------------------------------------------------------------------

class Failure extends Error {
  constructor(line, code) { super(line); this.code = code; }
}

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}), ...(key ? { Authorization: "Bearer " + key } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Failure("The server does not answer. Is it still running, and are you connected?", 0);
  }
  let told = null;
  try { told = await answer.json(); } catch { /* told below */ }
  if (!answer.ok || told === null) throw new Failure((told && told.error) || "The server answered " + answer.status + ".", answer.status);
  return told;
}

async function patiently(path, options) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask(path, options);
    } catch (failure) {
      if (![429, 503].includes(failure.code) || tries === PATIENCE) throw failure;
      await new Promise((done) => setTimeout(done, Math.min(3000, 800 * (tries + 1))));
    }
  }
}

async function knownDrawings() {
  if (drawings === null) {
    const kinds = await patiently("/v1/classes");
    drawings = new Map(kinds.map((kind) => [kind.name, kind.drawing]));
  }
  return drawings;
}

// Photos ------------------------------------------------------------------------------------------------------------

async function shrunk(file) {
  // upright, by the photo's own orientation; what the browser cannot show goes to the server as it is
  if (file.size < WORTH_SHRINKING) return file;
  try {
    const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = MOST_SIDE / Math.min(picture.width, picture.height);
    if (scale >= 1) return file;
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    const pen = canvas.getContext("2d");
    pen.fillStyle = "white"; // what is transparent lies on white, as on the server
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const small = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
    return small && small.size < file.size ? small : file;
  } catch {
    return file;
  }
}

function add(files) {
  const photos = [...files];
  if (!photos.length) return;
  const cards = photos.map(newCard);
  results.prepend(...cards.map((card) => card.element)); // the newest above, in the order that they were chosen in
  waiting.push(...cards);
  status.textContent = photos.length === 1 ? "Looking at your photo." : "Looking at " + photos.length + " photos.";
  results.querySelector(".card").scrollIntoView({ block: "nearest", behavior: calm() ? "auto" : "smooth" });
  next();
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function next() {
  while (!locked && working < AT_ONCE && waiting.length) {
    const card = waiting.shift();
    working += 1;
    answer(card).finally(() => { working -= 1; next(); });
  }
}

async function answer(card) {
  try {
    card.body = card.body || await shrunk(card.file);
    const [told, known] = [await patiently("/v1/identify?top=5", sent(card)), await knownDrawings()];
    show(card, told, known);
  } catch (failure) {
    if (failure.code === 401) wantKey(card); else fail(card, failure);
  }
}

const sent = (card) => ({ method: "POST", body: card.body, headers: { "Content-Type": card.body.type.startsWith("image/") ? card.body.type : "application/octet-stream" } });

// Cards -------------------------------------------------------------------------------------------------------------

function newCard(file) {
  const element = by("card").content.firstElementChild.cloneNode(true);
  const find = (selector) => element.querySelector(selector);
  const card = { file, element, find, body: null, shown: URL.createObjectURL(file), map: null };
  const photo = find(".photo"), name = file.name || "a photo";
  photo.src = card.shown;
  photo.alt = "Your photo " + name;
  photo.addEventListener("error", () => { photo.hidden = true; });
  element.classList.add("busy");
  find("h2").textContent = "Looking…";
  find(".away").setAttribute("aria-label", "Remove " + name);
  find(".away").addEventListener("click", () => remove(card));
  find(".look").addEventListener("click", () => look(card));
  find(".again").addEventListener("click", () => again(card));
  return card;
}

function remove(card) {
  const near = card.element.nextElementSibling || card.element.previousElementSibling;
  const place = waiting.indexOf(card);
  if (place >= 0) waiting.splice(place, 1);
  URL.revokeObjectURL(card.shown);
  card.element.remove();
  status.textContent = "Removed.";
  (near ? near.querySelector(".away") : by("files")).focus();
}

function again(card) {
  card.element.classList.remove("failed");
  card.element.classList.add("busy");
  card.find(".again").hidden = true;
  card.find("h2").textContent = "Looking…";
  card.find(".word").textContent = "";
  waiting.push(card);
  next();
}

function show(card, told, known) {
  const best = told.top[0], unsure = told.unknown === true, vague = !unsure && best.probability < 0.5;
  card.element.classList.remove("busy");
  card.element.classList.toggle("unsure", unsure || vague);
  card.element.classList.toggle("none", unsure);
  card.find("h2").textContent = unsure ? "Not one of mine" : best.name;
  card.find(".word").textContent = word(best, unsure, vague, known.size);
  card.find(".note").hidden = !told.top.some((guess) => known.get(guess.name));
  const list = card.find(".guesses");
  list.setAttribute("aria-label", unsure ? "The nearest kinds" : "The likeliest kinds");
  list.replaceChildren(...told.top.map((guess) => row(guess, known.get(guess.name))));
  requestAnimationFrame(() => requestAnimationFrame(() => fill(list, told.top)));
  card.find(".look").hidden = false;
  status.textContent = unsure
    ? "Not one of mine. The nearest kind is " + best.name + "."
    : best.name + ", " + percent(best.probability) + ".";
}

function word(best, unsure, vague, kinds) {
  if (unsure) return "This does not look like any of the " + kinds + " kinds of flowers I know. It may be another flower, or something else. If it is a flower, these are the nearest kinds:";
  if (vague) return "I am not sure: it could be one of these. A photo from nearer, with the flower in the middle, may help.";
  return best.probability > 0.9 ? "I am quite sure." : "This is the likeliest.";
}

function row(guess, drawing) {
  const item = by("guess").content.firstElementChild.cloneNode(true);
  item.querySelector(".name").textContent = guess.name;
  item.querySelector(".share").textContent = percent(guess.probability);
  if (drawing) item.querySelector(".drawing").src = drawing; else item.classList.add("bare");
  return item;
}

function fill(list, top) {
  top.forEach((guess, place) => { list.children[place].querySelector(".bar span").style.width = 100 * guess.probability + "%"; });
}

const percent = (share) => share < 0.005 ? "under 1 %" : share > 0.995 ? "over 99 %" : Math.round(100 * share) + " %";

function fail(card, failure) {
  const line = failure.code ? sentence(failure.message) : failure.message;
  card.element.classList.remove("busy");
  card.element.classList.add("failed");
  card.find("h2").textContent = "This did not work";
  card.find(".word").textContent = (card.file.name ? card.file.name + ": " : "") + line;
  card.find(".again").hidden = ![0, 408, 429, 503].includes(failure.code);
  status.textContent = "This did not work. " + line;
}

function sentence(line) {
  const bare = line.replace(/^the photo: /, "");
  return bare.charAt(0).toUpperCase() + bare.slice(1) + (/[.!?]$/.test(bare) ? "" : ".");
}

// Where it looked -----------------------------------------------------------------------------------------------------

async function look(card) {
  const button = card.find(".look"), photo = card.find(".photo"), on = button.getAttribute("aria-pressed") === "true";
  if (on) {
    photo.src = card.shown;
    photo.alt = "Your photo " + card.file.name;
    button.setAttribute("aria-pressed", "false");
    return;
  }
  button.disabled = true;
  status.textContent = "Asking where it looked.";
  try {
    card.map = card.map || (await patiently("/v1/identify?top=1&saliency=1", sent(card))).saliency;
    photo.hidden = false;
    photo.src = card.map;
    photo.alt = "The middle of your photo; what counted for the first answer is yellow, what did not is violet";
    button.setAttribute("aria-pressed", "true");
    status.textContent = "Shown in the photo: yellow counted most for the answer, violet not at all.";
  } catch (failure) {
    status.textContent = "This did not work. " + sentence(failure.message);
  }
  button.disabled = false;
}

// The key -------------------------------------------------------------------------------------------------------------

function wantKey(card) {
  waiting.push(card);
  locked = true;
  by("ask").hidden = false;
  by("key").focus();
  status.textContent = key ? "This is not the key." : "This server wants its key.";
}

by("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  key = by("key").value;
  by("ask").hidden = true;
  locked = false;
  next();
});

// Ways in -------------------------------------------------------------------------------------------------------------

for (const id of ["files", "camera"]) {
  by(id).addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
}

for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  zone.classList.remove("over");
  add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) { event.preventDefault(); add(files); }
});

document.documentElement.classList.toggle("touch", navigator.maxTouchPoints > 0);

knownDrawings().then((kinds) => {
  by("knows").textContent = "I know " + kinds.size + " kinds. A photo is enough: the flower near the middle, close by, in good light.";
}).catch(() => {});
