"use strict";
// The page's script. It speaks to its own server alone: /api/people, /api/tryon (a stream of JSON lines), /api/results.

const $ = (id) => document.getElementById(id);
const HELD = 12; // garments at most, as the server says
const PAINT_SIDE = 1024; // pixels of the painted masks' longer side at most
const state = { person: null, cloths: [], number: 1, keys: [], stop: null, painted: false, looked: 0 };

const say = (text) => { $("status").textContent = text; };
const ready = () => { $("go").disabled = !state.person || !state.cloths.length || Boolean(state.stop); };
const isPicture = (file) => file.type.startsWith("image/") || /\.(heic|heif|avif|jpe?g|png|webp)$/i.test(file.name);

// ---- pictures in -------------------------------------------------------------------------------------------------

async function setPerson(file) {
  if (!isPicture(file)) { say(`${file.name} is not a picture.`); return; }
  if (state.person) URL.revokeObjectURL(state.person.url);
  state.person = { file, url: URL.createObjectURL(file) };
  state.number = 1;
  $("boxes").replaceChildren();
  $("person-note").textContent = "";
  const image = $("person-image");
  image.src = state.person.url;
  $("person-stage").hidden = false;
  try {
    await image.decode();
    preparePaint(image);
  } catch {
    $("person-stage").hidden = true; // a format that this browser does not show; the server may still read it
    $("person-note").textContent = `${file.name} (no preview)`;
    $("painting").disabled = true;
  }
  ready();
  lookForPeople();
}

async function lookForPeople() {
  const turn = ++state.looked;
  const form = new FormData();
  form.append("person", state.person.file);
  try {
    const answer = await fetch("/api/people", { method: "POST", body: form });
    const found = await answer.json();
    if (turn !== state.looked) return;
    if (!answer.ok) { $("person-note").textContent = found.message; return; }
    showPeople(found);
  } catch {
    if (turn === state.looked) $("person-note").textContent = "The server does not answer.";
  }
}

function showPeople(found) {
  const count = found.people.length;
  if (!count) { $("person-note").textContent = "Nobody was found in this photo."; return; }
  if (count === 1) { $("person-note").textContent = "One person found."; return; }
  $("person-note").textContent = `${count} people found: choose one.`;
  const [width, height] = found.size;
  $("boxes").replaceChildren(...found.people.map(({ box: [left, top, right, bottom] }, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "box";
    button.style.left = `${100 * left / width}%`;
    button.style.top = `${100 * top / height}%`;
    button.style.width = `${100 * (right - left) / width}%`;
    button.style.height = `${100 * (bottom - top) / height}%`;
    button.setAttribute("aria-pressed", String(index === 0));
    button.setAttribute("aria-label", `Person ${index + 1}`);
    const label = document.createElement("span");
    label.textContent = index + 1;
    button.append(label);
    button.addEventListener("click", () => {
      state.number = index + 1;
      for (const other of $("boxes").children) other.setAttribute("aria-pressed", String(other === button));
    });
    return button;
  }));
}

function addCloths(files) {
  for (const file of files) {
    if (!isPicture(file)) { say(`${file.name} is not a picture.`); continue; }
    if (state.cloths.length === HELD) { say(`${HELD} garments at a time.`); break; }
    state.cloths.push({ file, url: URL.createObjectURL(file) });
  }
  showCloths();
}

function showCloths() {
  $("cloths").replaceChildren(...state.cloths.map((cloth, index) => {
    const tile = document.createElement("div");
    tile.className = "tile";
    const image = document.createElement("img");
    image.src = cloth.url;
    image.alt = cloth.file.name;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove ${cloth.file.name}`);
    remove.addEventListener("click", () => {
      URL.revokeObjectURL(cloth.url);
      state.cloths.splice(index, 1);
      showCloths();
    });
    tile.append(image, remove);
    return tile;
  }));
  ready();
}

for (const [kind, take] of [["person", (files) => setPerson(files[0])], ["cloth", addCloths]]) {
  const drop = $(`${kind}-drop`), input = $(`${kind}-file`);
  $(`${kind}-pick`).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) take(files);
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (files.length) take(files);
  });
}

addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].filter(isPicture);
  if (!files.length) return;
  event.preventDefault();
  if (!state.person && !$("cloth-drop").contains(document.activeElement)) setPerson(files[0]);
  else addCloths(files);
});

// ---- camera ------------------------------------------------------------------------------------------------------

$("camera-open").addEventListener("click", async () => {
  try {
    if (!navigator.mediaDevices) throw new Error("the browser gives cameras to local or https pages only");
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 } } });
    $("camera").showModal();
    await $("video").play();
  } catch (problem) {
    say(`No camera: ${problem.message}.`);
  }
});
$("camera-take").addEventListener("click", () => {
  const video = $("video"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => setPerson(new File([blob], "camera.png", { type: "image/png" })));
  $("camera").close();
});
$("camera-close").addEventListener("click", () => $("camera").close());
$("camera").addEventListener("close", () => {
  for (const track of $("video").srcObject?.getTracks() ?? []) track.stop();
  $("video").srcObject = null;
});

// ---- paint -------------------------------------------------------------------------------------------------------

const paint = $("paint"), pen = paint.getContext("2d", { willReadFrequently: true });
const brush = () => document.querySelector("input[name=brush]:checked").value;
let last = null; // the brush's place, in the canvas' pixels

function preparePaint(image) {
  const scale = Math.min(1, PAINT_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  paint.width = Math.round(image.naturalWidth * scale);
  paint.height = Math.round(image.naturalHeight * scale);
  state.painted = false;
  $("painting").disabled = false;
  last = null;
}

function stroke(x, y) {
  const from = last ?? { x, y };
  const colours = getComputedStyle(document.documentElement);
  pen.globalCompositeOperation = brush() === "erase" ? "destination-out" : "source-over";
  pen.strokeStyle = brush() === "redraw" ? colours.getPropertyValue("--redraw") : colours.getPropertyValue("--protect");
  pen.lineWidth = $("brush-size").value / 100 * paint.width;
  pen.lineCap = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(x + 0.01, y);
  pen.stroke();
  last = { x, y };
  state.painted = true;
}

const place = (event) => {
  const at = paint.getBoundingClientRect();
  return [(event.clientX - at.left) * paint.width / at.width, (event.clientY - at.top) * paint.height / at.height];
};
paint.addEventListener("pointerdown", (event) => {
  event.preventDefault();
  paint.setPointerCapture(event.pointerId);
  last = null;
  stroke(...place(event));
});
paint.addEventListener("pointermove", (event) => { if (event.buttons) stroke(...place(event)); });
paint.addEventListener("keydown", (event) => {
  const step = Math.max(4, $("brush-size").value / 200 * paint.width);
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  last ??= { x: paint.width / 2, y: paint.height / 2 };
  if (event.key === " ") stroke(last.x, last.y);
  else if (moves[event.key]) {
    const x = Math.min(paint.width, Math.max(0, last.x + moves[event.key][0]));
    const y = Math.min(paint.height, Math.max(0, last.y + moves[event.key][1]));
    if (event.shiftKey) stroke(x, y);
    last = { x, y };
    say(`Brush at ${Math.round(100 * x / paint.width)} %, ${Math.round(100 * y / paint.height)} %.`);
  } else return;
  event.preventDefault();
});
for (const input of document.querySelectorAll("input[name=brush]")) {
  input.addEventListener("change", () => {
    const painting = brush() !== "";
    paint.hidden = !painting && !state.painted;
    paint.tabIndex = painting ? 0 : -1;
    paint.style.pointerEvents = painting ? "auto" : "none";
    $("person-stage").classList.toggle("painting", painting);
    if (painting) say("Paint on the photo. By keyboard: arrows move the brush, space or shift and arrows paint.");
  });
}
$("paint-clear").addEventListener("click", () => {
  pen.clearRect(0, 0, paint.width, paint.height);
  state.painted = false;
});

// Masks (white on black): those of files, and what is painted, which counts instead where there is something.
async function masks() {
  const out = {};
  for (const name of ["protect", "redraw", "cloth_mask"]) {
    const [file] = $(`mask-${name}`).files;
    if (file) out[name] = file;
  }
  if (!state.painted) return out;
  const pixels = pen.getImageData(0, 0, paint.width, paint.height).data;
  for (const name of ["protect", "redraw"]) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [paint.width, paint.height];
    const context = canvas.getContext("2d"), mask = context.createImageData(paint.width, paint.height);
    let any = false;
    for (let i = 0; i < pixels.length; i += 4) {
      // Green is kept, red is redrawn, in the light and in the dark colours alike.
      const on = pixels[i + 3] > 127 && (pixels[i] > pixels[i + 1]) === (name === "redraw");
      any ||= on;
      mask.data[i] = mask.data[i + 1] = mask.data[i + 2] = on ? 255 : 0;
      mask.data[i + 3] = 255;
    }
    if (!any) continue;
    context.putImageData(mask, 0, 0);
    out[name] = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
  return out;
}

// ---- try on ------------------------------------------------------------------------------------------------------

async function tryOn(cloths, force) {
  state.stop = new AbortController();
  const form = new FormData();
  form.append("person", state.person.file);
  for (const cloth of cloths) form.append("cloth", cloth.file);
  form.append("keep", document.querySelector("input[name=keep]:checked").value);
  form.append("number", String(state.number));
  if (force) form.append("force", "1");
  for (const [name, blob] of Object.entries(await masks())) form.append(name, blob, `${name}.png`);
  $("work").hidden = false;
  $("progress").removeAttribute("value");
  say("Sending …");
  ready();
  try {
    const answer = await fetch("/api/tryon", { method: "POST", body: form, signal: state.stop.signal });
    if (!answer.ok) { say((await answer.json()).message); return; }
    let made = 0, refused = 0;
    for await (const event of events(answer.body)) {
      if (event.event === "queued" && event.ahead) say(`Waiting: ${event.ahead} before you.`);
      if (event.event === "working") {
        $("progress").value = event.done / event.total;
        say(`${event.note[0].toUpperCase()}${event.note.slice(1)} …`);
      }
      if (event.event === "result") { made += 1; showResult(event, cloths[event.cloth], made === 1); }
      if (event.event === "refused") { refused += 1; showRefusal(event, cloths); }
    }
    if (refused && !made) say("Refused: the reason stands below.");
    else say(`${made} ${made === 1 ? "picture" : "pictures"} made${refused ? `, ${refused} refused` : ""}.`);
  } catch (problem) {
    say(problem.name === "AbortError" ? "Stopped." : "The server does not answer.");
  } finally {
    state.stop = null;
    $("work").hidden = true;
    ready();
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

const sure = (confidence) => confidence >= 0.7 ? "high" : confidence >= 0.45 ? "fair" : "low";
const stem = (name) => name.replace(/\.[^.]*$/, "");

function showResult(event, cloth, first) {
  state.keys.push(event.id);
  const card = $("result").content.firstElementChild.cloneNode(true);
  const at = (name) => `/api/results/${event.id}/${name}`;
  card.querySelector("h2").textContent = cloth.file.name;
  card.querySelector(".after").src = at("image.png");
  card.querySelector(".before").src = at("before.jpg");
  const slider = card.querySelector("input"), before = card.querySelector(".before"), line = card.querySelector(".line");
  const move = () => {
    before.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
    line.style.left = `${slider.value}%`;
    line.hidden = slider.value === "0" || slider.value === "100";
    slider.setAttribute("aria-valuetext", `${slider.value} % before`);
  };
  slider.addEventListener("input", move);
  move();
  const words = `${event.size[0]} × ${event.size[1]} pixels. Confidence ${sure(event.confidence)} (${event.confidence.toFixed(2)}).`;
  card.querySelector(".words").textContent = words;
  card.querySelector(".warning").textContent = event.warning;
  card.querySelector(".warning").hidden = !event.warning;
  const download = card.querySelector(".download");
  download.href = at("image.png");
  download.download = `${stem(state.person.file.name)}__${stem(cloth.file.name)}.png`;
  card.querySelector(".panel img").src = at("panel.jpg");
  $("results").prepend(card);
  if (first) card.scrollIntoView({ block: "nearest" });
}

function showRefusal(event, cloths) {
  const card = $("refusal").content.firstElementChild.cloneNode(true);
  const cloth = event.cloth === null ? null : cloths[event.cloth];
  const about = { mask: "The painted mask", person: "The person's photo" };
  card.querySelector("h2").textContent = cloth ? cloth.file.name : about[event.picture] ?? "Not possible";
  card.querySelector(".words").textContent = `${event.message[0].toUpperCase()}${event.message.slice(1)}.`;
  const again = card.querySelector(".again");
  again.hidden = !event.helps.includes("force");
  again.addEventListener("click", () => {
    if (state.stop || !state.person) return;
    card.remove();
    tryOn(cloth ? [cloth] : cloths, true);
  });
  $("results").prepend(card);
  card.scrollIntoView({ block: "nearest" });
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("go").disabled) return;
  for (const card of document.querySelectorAll(".refused")) card.remove();
  tryOn([...state.cloths], false);
});
$("stop").addEventListener("click", () => state.stop?.abort());
addEventListener("pagehide", () => {
  if (state.keys.length) navigator.sendBeacon("/api/forget", state.keys.join(" "));
});

// ---- examples ----------------------------------------------------------------------------------------------------

const exampleUrl = (path) => `/examples/sample_data/${path}`;
async function example(path) {
  const blob = await (await fetch(exampleUrl(path))).blob();
  return new File([blob], path.split("/").pop(), { type: blob.type });
}

(async () => {
  const found = await (await fetch("/api/examples")).json();
  const kinds = [["people", "person", (file) => setPerson(file)], ["cloths", "cloth", (file) => addCloths([file])]];
  for (const [kind, name, take] of kinds) {
    $(`${name}-examples`).replaceChildren(...found[kind].map((path, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Example ${name === "person" ? "person" : "garment"} ${index + 1}`);
      const image = document.createElement("img");
      image.src = exampleUrl(path);
      image.alt = "";
      image.loading = "lazy";
      button.append(image);
      button.addEventListener("click", async () => take(await example(path)));
      return button;
    }));
  }
  $("example").hidden = !found.people.length || !found.cloths.length;
  $("example").addEventListener("click", async () => {
    await setPerson(await example(found.people[0]));
    if (!state.cloths.length) addCloths([await example(found.cloths[0])]);
    if (!state.stop) tryOn([...state.cloths], false);
  });
})();
