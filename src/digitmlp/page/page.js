// The page: strokes on a canvas, read by the server while they are drawn.

const $ = (id) => document.getElementById(id);
const SHEET = 1000; // the sheet's width in units of its own, whatever its width on the screen
const SENT = 300; // pixels of the longer side of what is sent: enough for eight digits, soon read
const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

const drawing = $("drawing");
const marks = $("marks");
const sent = new OffscreenCanvas(1, 1);
const strokes = []; // each {width, points: [[x, y], …]}, in units of the sheet
let pen = null; // the stroke being drawn
let cleared = 0; // how often strokes or a photo were taken away
let finger = null; // the pointer that draws it
let cursor = null; // [x, y] of the pen that keys move
let photo = null; // {file, image, size, before: the strokes in whose place it is}
let numbers = []; // what was read last, as the server gave it
let chosen = 0; // which of its digits is looked at

const height = () => (SHEET * drawing.clientHeight) / drawing.clientWidth;
const digits = () => numbers.flatMap((number) => number.digits);

// Drawing

function trace(context, stroke) {
  const [first, ...rest] = stroke.points;
  context.lineWidth = stroke.width;
  context.beginPath();
  context.moveTo(...first);
  if (!rest.length) context.lineTo(...first); // a dot
  let before = first;
  for (const point of rest) {
    // Through the middles, bent towards the points: no corners where the hand made none.
    context.quadraticCurveTo(...before, (before[0] + point[0]) / 2, (before[1] + point[1]) / 2);
    before = point;
  }
  context.lineTo(...before);
  context.stroke();
}

function prepare(canvas, width, rows, scale) {
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(rows));
  const context = canvas.getContext("2d", { willReadFrequently: canvas === sent });
  context.lineCap = context.lineJoin = "round";
  context.scale(scale, scale);
  return context;
}

function placed(size) {
  // The photo as large as the sheet allows, in its middle.
  const scale = Math.min(SHEET / size[0], height() / size[1]);
  return [scale, (SHEET - size[0] * scale) / 2, (height() - size[1] * scale) / 2];
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

function paint() {
  const [width, rows] = [drawing.clientWidth, drawing.clientHeight];
  const sharp = devicePixelRatio || 1;
  const context = prepare(drawing, width * sharp, rows * sharp, (width * sharp) / SHEET);
  if (photo?.image) {
    const [scale, left, top] = placed(photo.size);
    context.drawImage(photo.image, left, top, photo.size[0] * scale, photo.size[1] * scale);
  }
  context.strokeStyle = colour("--ink");
  for (const stroke of strokes) trace(context, stroke);
  if (cursor) {
    context.strokeStyle = colour("--warm");
    context.lineWidth = 4;
    const [x, y] = cursor;
    context.beginPath();
    context.arc(x, y, pen ? 8 : 16, 0, 2 * Math.PI);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 22 * dx, y + 22 * dy);
      context.lineTo(x + 40 * dx, y + 40 * dy);
    }
    context.stroke();
  }
  $("hint").toggleAttribute("hidden", Boolean(strokes.length || photo || cursor));
  $("undo").disabled = !strokes.length && !photo;
  $("clear").disabled = !strokes.length && !photo;
  mark();
}

function mark() {
  // The boxes of the digits, over what was drawn or the photo.
  const [width, rows] = [marks.clientWidth, marks.clientHeight];
  const sharp = devicePixelRatio || 1;
  const context = prepare(marks, width * sharp, rows * sharp, (width * sharp) / SHEET);
  if (photo && !photo.image) return; // what the browser cannot show
  const pixel = SHEET / width;
  const [scale, left, top] = photo ? placed(photo.size) : [SHEET / sent.width, 0, 0];
  digits().forEach((digit, place) => {
    const [l, t, r, b] = digit.box;
    const margin = photo ? 2 * pixel : 6 * pixel;
    const width = (place === chosen ? 3 : 1.5) * pixel;
    context.setLineDash(digit.digit === null ? [6 * pixel, 5 * pixel] : []);
    context.beginPath();
    context.roundRect(left + l * scale - margin, top + t * scale - margin,
      (r - l) * scale + 2 * margin, (b - t) * scale + 2 * margin, 6 * pixel);
    if (photo) { // seen on any colour
      context.strokeStyle = colour("--paper");
      context.lineWidth = width + 2.5 * pixel;
      context.stroke();
    }
    context.strokeStyle = colour(digit.digit === null ? "--warm" : "--bar");
    context.lineWidth = width;
    context.stroke();
  });
}

// Reading

function snapshot() {
  // Black on white whatever the theme, as a PGM: no encoder is faster than none.
  const scale = SENT / Math.max(SHEET, height());
  const context = prepare(sent, SHEET * scale, height() * scale, scale);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, SHEET, height());
  context.strokeStyle = "#000";
  for (const stroke of strokes) trace(context, stroke);
  const { data, width, height: rows } = context.getImageData(0, 0, sent.width, sent.height);
  const head = new TextEncoder().encode(`P5 ${width} ${rows} 255\n`);
  const body = new Uint8Array(head.length + width * rows);
  body.set(head);
  for (let from = 0, to = head.length; to < body.length; from += 4, to += 1) body[to] = data[from];
  return body;
}

let reading = false;
let again = false;

async function read() {
  // One request at a time; what changed meanwhile is read right after.
  again = true;
  if (reading) return;
  reading = true;
  while (again) {
    again = false;
    if (!strokes.length && !photo) {
      show([]);
      continue;
    }
    const [file, before] = [photo?.file, cleared];
    const body = file ?? snapshot();
    const type = file ? file.type || "application/octet-stream" : "image/x-portable-graymap";
    try {
      const headers = { "content-type": type };
      const response = await fetch("v1/read?explain=true", { method: "POST", headers, body });
      const answer = await response.json();
      if (before !== cleared) continue; // by now there is something else to read
      if (response.ok) show(answer.numbers);
      else show([], answer.error);
    } catch {
      if (before !== cleared) continue;
      show([], "The server does not answer. Is it still running?");
    }
  }
  reading = false;
}

// Showing

const letter = (digit) => (digit.digit === null ? "?" : String(digit.digit));

function sentence() {
  const all = digits();
  const unknown = all.filter((digit) => digit.digit === null).length;
  if (!all.length) {
    if (!strokes.length && !photo) return "Draw a digit or a whole number.";
    return photo ? "No digits found in the photo." : "Nothing to read yet.";
  }
  if (unknown === all.length) return all.length > 1 ? "None of these is a digit." : "That is no digit I know.";
  if (unknown) return unknown > 1 ? `${unknown} of these are no digits.` : "One of these is no digit.";
  if (all.length > 1) return numbers.length > 1 ? `${numbers.length} numbers.` : `${all.length} digits, one number.`;
  const [{ digit, probability, probabilities }] = all;
  const a = digit === 8 ? "An" : "A";
  if (probability > 0.95) return `${a} ${digit}, surely.`;
  const other = probabilities.map((p, place) => [place === digit ? -1 : p, place]).sort((p, q) => q[0] - p[0])[0][1];
  return `${a} ${digit}, I think. Or is it ${other === 8 ? "an" : "a"} ${other}?`;
}

function lines() {
  // The text with every ? marked, a line for each line of the picture.
  const parts = [];
  numbers.forEach((number, place) => {
    if (place) parts.push(number.line === numbers[place - 1].line ? " " : "\n");
    for (const digit of number.digits) {
      const part = document.createElement("span");
      part.textContent = letter(digit);
      part.className = digit.digit === null ? "none" : "";
      parts.push(part);
    }
  });
  return parts;
}

let announcement = 0;

function announce(text, pause = 0) {
  clearTimeout(announcement);
  announcement = setTimeout(() => { $("live").textContent = text; }, pause);
}

function show(found, problem = "") {
  const before = digits().length;
  numbers = found;
  const all = digits();
  // The newest digit is looked at while one draws.
  if (all.length !== before || chosen >= all.length) chosen = Math.max(0, photo ? 0 : all.length - 1);
  $("problem").textContent = problem;
  $("text").replaceChildren(...lines());
  $("text").className = all.length > 7 || numbers.some(({ line }) => line > 1) ? "long" : "";
  $("say").textContent = problem ? "" : sentence();
  $("digits").replaceChildren(...(all.length > 1 ? all.map(button) : []));
  look();
  mark();
  const text = $("text").textContent.replaceAll("?", " no digit ");
  // After a pause: not a word for every movement of the hand.
  announce(all.length ? `Read: ${text}. ${sentence()}` : problem || sentence(), 700);
}

function button(digit, place) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = letter(digit);
  made.className = digit.digit === null ? "none" : "";
  made.setAttribute("aria-pressed", String(place === chosen));
  made.setAttribute("aria-label", digit.digit === null ? `${place + 1}: no digit` : `${place + 1}: ${digit.digit}`);
  made.addEventListener("click", () => {
    chosen = place;
    [...$("digits").children].forEach((other, at) => other.setAttribute("aria-pressed", String(at === place)));
    look();
    mark();
  });
  return made;
}

for (let digit = 0; digit < 10; digit += 1) {
  const row = document.createElement("li");
  row.innerHTML = '<span></span><span class="track"><span class="bar"></span></span><span class="share"></span>';
  row.firstChild.textContent = digit;
  $("bars").append(row);
}

function look() {
  // What the network saw of the chosen digit, and how sure it is; at rest where there is none.
  const digit = digits()[chosen];
  const seen = $("seen").getContext("2d");
  const picture = new ImageData(28, 28);
  digit?.image.forEach((pixel, place) => picture.data.set([pixel, pixel, pixel, 255], 4 * place));
  seen.putImageData(picture, 0, 0);
  $("seen").setAttribute("aria-label", digit ? `${letter(digit)} as the network sees it, white on black` : "nothing yet");
  const best = Math.max(...(digit?.probabilities ?? []));
  [...$("bars").children].forEach((row, place) => {
    const share = digit?.probabilities[place] ?? 0;
    row.className = digit && share === best && digit.digit !== null ? "best" : "";
    row.querySelector(".bar").style.width = `${100 * share}%`;
    row.querySelector(".share").textContent = digit ? PERCENT.format(share) : "";
  });
}

// Pointers

function position(event) {
  const box = drawing.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top].map((place) => (place * SHEET) / box.width);
}

function begin(point) {
  if (photo) clear();
  pen = { width: Number($("width").value), points: [point] };
  strokes.push(pen);
}

drawing.addEventListener("pointerdown", (event) => {
  if (event.button || (pen && !cursor)) return; // another button, or a second finger
  cursor = null;
  finger = event.pointerId;
  drawing.setPointerCapture(event.pointerId);
  begin(position(event));
  changed();
});
drawing.addEventListener("pointermove", (event) => {
  if (!pen || cursor || event.pointerId !== finger) return;
  const events = event.getCoalescedEvents?.() ?? [];
  pen.points.push(...(events.length ? events : [event]).map(position));
  changed();
});
for (const name of ["pointerup", "pointercancel"]) {
  drawing.addEventListener(name, (event) => {
    if (!pen || cursor || event.pointerId !== finger) return;
    pen = null;
    changed();
  });
}

let painting = false;

function changed() {
  read();
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    paint();
  });
}

// Keys

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

drawing.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = STEPS[event.key];
  if (step) {
    const by = event.shiftKey ? 60 : 20;
    cursor ??= [SHEET / 2, height() / 4];
    cursor = [
      Math.min(SHEET - 20, Math.max(20, cursor[0] + by * step[0])),
      Math.min(height() - 20, Math.max(20, cursor[1] + by * step[1])),
    ];
    if (pen) pen.points.push(cursor);
  } else if (event.key === " " || event.key === "Enter") {
    cursor ??= [SHEET / 2, height() / 4];
    if (event.repeat) { /* the key is held down */ }
    else if (pen) pen = null;
    else begin(cursor);
  } else return;
  event.preventDefault();
  changed();
});
drawing.addEventListener("blur", () => {
  if (!cursor) return;
  pen = cursor = null;
  changed();
});
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
  }
});

// Tools

function undo() {
  if (photo) {
    const { before } = photo;
    clear();
    strokes.push(...before);
  } else strokes.pop();
  cleared += 1;
  pen = null;
  changed();
}

function clear() {
  photo?.image?.close();
  strokes.length = 0;
  cleared += 1;
  pen = photo = null;
  show([]);
}

$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", () => {
  clear();
  changed();
});

// Photos

async function take(file) {
  if (!file) return;
  const before = photo?.before ?? [...strokes];
  clear();
  photo = { file, size: [SHEET, height()], before };
  $("say").textContent = "Reading the photo…";
  announce("Reading the photo…");
  read();
  try {
    const image = await createImageBitmap(file);
    if (photo?.file !== file) {
      image.close();
      return;
    }
    photo = { file, image, size: [image.width, image.height], before };
  } catch {
    // The server may read what the browser cannot show.
  }
  paint();
}

$("photo").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = "";
});
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  take(event.dataTransfer.files[0]);
});

// The beginning

async function introduce() {
  const response = await fetch("v1/model");
  if (!response.ok) return;
  const { network, weights, held_out: known } = await response.json();
  const parts = [`The network: ${network.replaceAll("-", " → ")}, ${weights.toLocaleString("en")} weights.`];
  if (known) {
    const share = known.accuracy.toLocaleString("en", { style: "percent", maximumFractionDigits: 2 });
    parts.push(`Of ${known.count.toLocaleString("en")} digits that it had never seen, it read ${share} right.`);
  }
  $("model").textContent = parts.join(" ");
}

let fitted = 0; // the height for which the drawing was made or made smaller

function fit() {
  // A sheet that has become flatter, as on a phone that was turned, still shows all of the drawing.
  const drawn = photo ? photo.before : strokes;
  const lowest = Math.min(fitted, Math.max(0, ...drawn.flatMap(
    ({ points, width }) => points.map(([, y]) => y + width / 2))));
  if (lowest > height()) {
    const by = 0.98 * height() / lowest;
    pen = null; // what it draws from here on would not fit to what it has drawn
    for (const stroke of drawn) {
      stroke.width *= by;
      stroke.points = stroke.points.map(([x, y]) => [SHEET / 2 + (x - SHEET / 2) * by, y * by]);
    }
    read();
  }
  fitted = height();
  paint();
}

new ResizeObserver(fit).observe(drawing);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
show([]);
introduce();
