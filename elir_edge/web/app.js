// The page: a picture comes in, the worker restores it, the slider shows before and after.

const MOST_PIXELS = 16_000_000; // more than phones let one canvas have
const MOST_SIDE = 16_384; // likewise
const $ = (id) => document.getElementById(id);
const manifest = await loadManifest();
const [graphHeight, graphWidth] = manifest?.size ?? [1, 1];
const threads = self.crossOriginIsolated ? Math.min(8, navigator.hardwareConcurrency || 1) : 1;
const worker = new Worker("worker.js", { type: "module" });

let source = null; // the picture as it was given
let name = "picture";
let job = 0;
let taking = 0; // counts the pictures asked for: only the last one is shown
let ready = false;
let broken = null; // why no model could be opened

worker.onmessage = ({ data }) => {
  if (data.loaded !== undefined) return progress(data.loaded, "Loading the model");
  if (data.ready) return begin();
  if (data.tile?.id === job) return showTile(data.tile);
  if (data.restored?.id === job) return showResult(data.restored);
  if (data.error && (data.id ?? job) === job) {
    if (ready) restart();
    else broken = data.error;
    fail(data.error);
  }
};
worker.onerror = () => fail((broken = "the worker could not be started"));
if (manifest) {
  describe();
  worker.postMessage({ open: { manifest, threads } });
} else {
  fail((broken = "manifest.json could not be loaded: put it beside the page, with all other files of the folder"));
}

/** What the model is, as the export stated it; null where the file is missing or something else. */
async function loadManifest() {
  try {
    const reply = await fetch("manifest.json");
    return reply.ok ? await reply.json() : null;
  } catch {
    return null;
  }
}

function describe() {
  $("model").textContent = `${manifest.spec.name}: ${manifest.spec.task}`;
  const many = threads > 1 ? `${threads} threads` : "1 thread";
  const version = manifest.format["onnxruntime-web"];
  $("runtime").textContent =
    `${manifest.precision}, tiles of ${graphWidth} × ${graphHeight} pixels, onnxruntime-web ${version}, ${many}`;
  $("stand-in").hidden = manifest.weights.trained;
}

function begin() {
  ready = true;
  if (source) restore();
}

async function take(blob, called) {
  taking += 1;
  const mine = taking;
  let taken;
  try {
    taken = await createImageBitmap(blob);
  } catch {
    if (mine === taking) fail("That file is not a picture that this browser can read.");
    return;
  }
  if (mine !== taking) return taken.close();
  source?.close();
  source = taken;
  name = (called || "picture").replace(/(.)\.[^.]*$/, "$1");
  restore();
}

/** Draw the picture at the size asked for, and have it restored. */
function restore() {
  if (broken) return fail(broken);
  worker.postMessage({ stop: true });
  $("error").hidden = true;
  $("start").hidden = true;
  $("work").hidden = false;
  $("done").hidden = true;
  $("progress").hidden = false;
  const before = draw();
  const { width, height } = before.canvas;
  const after = $("after");
  [after.width, after.height] = [width, height];
  $("compare").style.width = `min(100%, max(32rem, ${width}px), calc(70dvh * ${width / height}))`;
  $("compare").style.aspectRatio = `${width} / ${height}`;
  progress(0, ready ? "Starting" : "Loading the model");
  if (!ready) return;
  const { data } = before.getImageData(0, 0, width, height);
  job += 1;
  worker.postMessage({ restore: { id: job, rgba: data, height, width } }, [data.buffer]);
}

function draw() {
  const [sx, sy, sw, sh, width, height] = placed($("size").value, source.width, source.height);
  const canvas = $("before");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff"; // behind what is transparent
  context.fillRect(0, 0, width, height);
  context.drawImage(source, sx, sy, sw, sh, 0, 0, width, height);
  return context;
}

/** What part of the picture is taken, and the size it is drawn at. Nothing is enlarged, but to the model's size. */
function placed(size, width, height) {
  if (size === "model") {
    const scale = Math.min(width / graphWidth, height / graphHeight);
    const [w, h] = [graphWidth * scale, graphHeight * scale];
    return [(width - w) / 2, (height - h) / 2, w, h, graphWidth, graphHeight];
  }
  const side = size === "full" ? MOST_SIDE : Number(size);
  const scale = Math.min(1, side / Math.max(width, height), Math.sqrt(MOST_PIXELS / (width * height)));
  return [0, 0, width, height, Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

function showTile({ top, left, height, width, rgba, done, of, seconds }) {
  $("after").getContext("2d").putImageData(new ImageData(rgba, width, height), left, top);
  const rest = Math.round((seconds / done) * (of - done));
  progress(done / of, of > 1 ? `Tile ${done} of ${of}${rest > 1 ? `, about ${rest} s left` : ""}` : "Restoring");
}

function showResult({ rgba, height, width, tiles, seconds }) {
  $("after").getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  $("progress").hidden = true;
  $("done").hidden = false;
  const reduced = $("size").value === "full" && (width < source.width || height < source.height);
  const smaller = `, reduced from ${source.width} × ${source.height} to ${width} × ${height} pixels`;
  $("took").textContent = `${tiles > 1 ? `${tiles} tiles` : "1 tile"} in ${seconds.toFixed(1)} s${reduced ? smaller : ""}`;
  document.body.dataset.seconds = seconds;
  document.body.dataset.tiles = tiles;
  document.body.dataset.done = job;
}

function progress(fraction, text) {
  $("bar").value = fraction;
  $("told").textContent = text;
}

function fail(text) {
  $("error").textContent = text;
  $("error").hidden = false;
}

function restart() {
  worker.postMessage({ stop: true });
  job += 1;
  taking += 1;
  source?.close();
  source = null;
  $("error").hidden = true;
  $("work").hidden = true;
  $("start").hidden = false;
}

function save() {
  $("after").toBlob((blob) => {
    if (!blob) return fail("This browser cannot save so large a picture: choose a smaller size.");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name}-restored.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
}

/** A live picture where the page may have one; else the phone's own camera program. */
async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) return $("capture").click();
  $("shutter").disabled = true; // until there is something to take
  $("camera").disabled = true; // while the browser asks for permission: a second stream would never be stopped
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: 1920 } });
  } catch {
    return fail("No camera: there is none, or the page was not allowed to use it.");
  } finally {
    $("camera").disabled = false;
  }
  $("viewfinder").showModal();
  await $("video").play().catch(() => {}); // closed before there was something to play
}

function shoot() {
  const video = $("video");
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.convertToBlob().then((blob) => take(blob, "camera"));
  $("viewfinder").close();
}

function closeCamera() {
  for (const track of $("video").srcObject?.getTracks() ?? []) track.stop();
  $("video").srcObject = null;
}

for (const id of ["file", "capture"]) {
  $(id).onchange = ({ target }) => {
    if (target.files[0]) take(target.files[0], target.files[0].name);
    target.value = "";
  };
}
$("choose").onclick = () => $("file").click();
$("camera").onclick = openCamera;
$("shutter").onclick = shoot;
$("video").onloadeddata = () => { $("shutter").disabled = false; };
$("cancel").onclick = () => $("viewfinder").close();
$("viewfinder").onclose = closeCamera;
$("again").onclick = restart;
$("stop").onclick = restart;
$("save").onclick = save;
$("size").onchange = () => source && restore();
$("slider").oninput = ({ target }) => $("compare").style.setProperty("--split", `${target.value / 10}%`);
document.ondragover = (event) => { event.preventDefault(); $("start").classList.add("over"); };
document.ondragleave = () => $("start").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  $("start").classList.remove("over");
  const file = event.dataTransfer.files[0];
  if (file) take(file, file.name);
};
document.onpaste = ({ clipboardData }) => {
  const file = clipboardData.files[0];
  if (file) take(file, file.name);
};
