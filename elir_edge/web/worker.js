// Runs the model beside the page, so that the page stays usable. Takes {open}, {restore} and {stop}.

import { openGraph } from "./graph.js";
import { Mosaic, cutTile, tilesOf, toRgba } from "./tiling.js";

let graph = null;
let job = 0;

onmessage = async ({ data }) => {
  const id = data.restore?.id;
  try {
    if (data.open) await open(data.open);
    if (data.restore) await restore(data.restore);
    if (data.stop) job = 0;
  } catch (error) {
    if (id !== undefined && id !== job) return; // of a picture that was stopped, or that another one replaced
    postMessage({ error: String(error?.message ?? error), id });
  }
};

async function open({ manifest, threads }) {
  graph = await openGraph(manifest, threads, (loaded) => postMessage({ loaded }));
  postMessage({ ready: true });
}

async function restore({ id, rgba, height, width }) {
  job = id;
  const tiles = tilesOf(height, width, graph.size);
  const mosaic = new Mosaic(height, width, graph.size);
  const [th, tw] = graph.size;
  let seconds = 0;
  for (const [i, tile] of tiles.entries()) {
    const began = performance.now();
    const part = await graph.restore(cutTile(rgba, height, width, tile, graph.size));
    seconds += (performance.now() - began) / 1000;
    mosaic.add(part, tile);
    await new Promise((resume) => setTimeout(resume)); // lets a stop, or another picture, come in
    if (job !== id) return;
    const bytes = toRgba(part, tw, th, tw);
    postMessage({ tile: { id, ...tile, height: th, width: tw, rgba: bytes, done: i + 1, of: tiles.length, seconds } }, [bytes.buffer]);
  }
  const bytes = mosaic.rgba();
  postMessage({ restored: { id, rgba: bytes, height, width, tiles: tiles.length, seconds } }, [bytes.buffer]);
}
