// What goes into the graph and what comes out, in the form that its manifest states.

import * as ort from "./ort/ort.wasm.min.mjs";

const BYTES = "uint8";

/** Open the model with the runtime that lies beside the page. `told(fraction)` hears how much of it has come. */
export async function openGraph(manifest, threads, told) {
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  ort.env.wasm.numThreads = threads;
  const model = await download(new URL("./model.onnx", import.meta.url), told);
  return new Graph(await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }), manifest);
}

class Graph {
  constructor(session, manifest) {
    this.session = session;
    this.image = manifest.inputs.find((tensor) => tensor.name === "image");
    this.noise = manifest.inputs.find((tensor) => tensor.name === "noise");
    this.planar = this.image.layout === "NCHW";
    this.size = this.planar ? this.image.shape.slice(2) : this.image.shape.slice(1, 3);
  }

  /** RGB 0..255, H x W x 3, of the graph's size -> the same, restored. */
  async restore(rgb) {
    const feeds = { image: this.toTensor(rgb) };
    if (this.noise) feeds.noise = new ort.Tensor("float32", normal(this.noise.shape), this.noise.shape);
    const { restored } = await this.session.run(feeds);
    if (!restored.data.every(Number.isFinite)) throw new Error("the model's result has values that are no numbers");
    return this.fromTensor(restored.data);
  }

  toTensor(rgb) {
    const values = this.planar ? split(rgb) : rgb;
    if (this.image.dtype === BYTES) return new ort.Tensor(BYTES, Uint8Array.from(values, Math.round), this.image.shape);
    return new ort.Tensor("float32", Float32Array.from(values, (value) => value / 255), this.image.shape);
  }

  fromTensor(data) {
    const rgb = this.planar ? merge(data) : Float32Array.from(data);
    return this.image.dtype === BYTES ? rgb : rgb.map((value) => value * 255);
  }
}

function split(rgb) {
  const pixels = rgb.length / 3;
  const planes = new Float32Array(rgb.length);
  for (let i = 0; i < pixels; i++) for (let c = 0; c < 3; c++) planes[c * pixels + i] = rgb[3 * i + c];
  return planes;
}

function merge(planes) {
  const pixels = planes.length / 3;
  const rgb = new Float32Array(planes.length);
  for (let i = 0; i < pixels; i++) for (let c = 0; c < 3; c++) rgb[3 * i + c] = planes[c * pixels + i];
  return rgb;
}

/** Standard normal noise, the same for every tile and every time. */
function normal(shape) {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 4294967296;
  };
  const values = new Float32Array(shape.reduce((a, b) => a * b));
  return values.map(() => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

async function download(url, told) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the model could not be loaded (${response.status})`);
  const total = Number(response.headers.get("Content-Length")) || 0;
  const parts = [];
  let come = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    come += value.length;
    if (total) told(Math.min(1, come / total));
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
