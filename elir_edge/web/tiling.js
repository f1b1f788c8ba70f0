// Pictures of any size through a graph of one size: reflected at the edges, overlapping tiles, linear blending.

const OVERLAP = 32;
const MOST_ALIGNED = 32;

/** Tiles start at multiples of this, so that the network sees equal grids where they overlap. */
export function alignment([th, tw]) {
  let step = MOST_ALIGNED;
  while (step > 1 && (th % step || tw % step || 4 * step > Math.min(th, tw))) step /= 2;
  return step;
}

/** The length that tiles cover: one tile, and as many steps as `length` is longer. */
function covered(length, tile, step) {
  return tile + Math.ceil(Math.max(0, length - tile) / step) * step;
}

/** Where tiles of `tile` pixels begin so that they cover `length` and share `overlap` or more. */
export function tileStarts(length, tile, overlap, step) {
  const units = (covered(length, tile, step) - tile) / step;
  const gaps = Math.ceil(units / Math.max(1, Math.floor((tile - overlap) / step)));
  return Array.from({ length: gaps + 1 }, (_, i) => step * Math.floor((i * units) / Math.max(1, gaps)));
}

/** All tiles of a picture, row by row: `{top, left}` in pixels. */
export function tilesOf(height, width, [th, tw]) {
  const [step, overlap] = [alignment([th, tw]), Math.min(OVERLAP, Math.floor(Math.min(th, tw) / 2))];
  const tops = tileStarts(height, th, overlap, step);
  const lefts = tileStarts(width, tw, overlap, step);
  return tops.flatMap((top) => lefts.map((left) => ({ top, left })));
}

/** RGB 0..255 of one tile, H x W x 3, out of `rgba`; what lies beyond the picture is reflected. */
export function cutTile(rgba, height, width, { top, left }, [th, tw]) {
  const part = new Float32Array(th * tw * 3);
  for (let y = 0; y < th; y++) {
    const row = reflect(top + y, height) * width;
    for (let x = 0; x < tw; x++) {
      const from = 4 * (row + reflect(left + x, width));
      const to = 3 * (y * tw + x);
      part[to] = rgba[from];
      part[to + 1] = rgba[from + 1];
      part[to + 2] = rgba[from + 2];
    }
  }
  return part;
}

/** Gathers tiles, given row by row, into one picture. Each fades in over what its neighbours filled. */
export class Mosaic {
  constructor(height, width, [th, tw]) {
    [this.height, this.width, this.th, this.tw] = [height, width, th, tw];
    const step = alignment([th, tw]);
    this.fullWidth = covered(width, tw, step);
    this.result = new Float32Array(covered(height, th, step) * this.fullWidth * 3);
    [this.bottom, this.row] = [0, null];
  }

  add(part, { top, left }) {
    if (this.row?.top !== top) this.startRow(top);
    const shared = Math.max(0, this.row.right - left);
    for (let y = 0; y < this.th; y++) {
      for (let x = 0; x < this.tw; x++) {
        const weight = x < shared ? (x + 0.5) / shared : 1;
        mix(this.row.strip, 3 * (y * this.fullWidth + left + x), part, 3 * (y * this.tw + x), weight);
      }
    }
    this.row.right = left + this.tw;
    if (this.row.right === this.fullWidth) this.endRow();
  }

  startRow(top) {
    this.row = { top, right: 0, strip: new Float32Array(this.th * this.fullWidth * 3) };
  }

  endRow() {
    const { top, strip } = this.row;
    const shared = Math.max(0, this.bottom - top);
    for (let y = 0; y < this.th; y++) {
      const weight = y < shared ? (y + 0.5) / shared : 1;
      for (let x = 0; x < this.fullWidth; x++) {
        mix(this.result, 3 * ((top + y) * this.fullWidth + x), strip, 3 * (y * this.fullWidth + x), weight);
      }
    }
    this.bottom = top + this.th;
  }

  /** The picture as RGBA bytes. */
  rgba() {
    return toRgba(this.result, this.fullWidth, this.height, this.width);
  }
}

/** RGB 0..255 as floats, rows `stride` pixels apart -> RGBA bytes of `height` x `width`. */
export function toRgba(rgb, stride, height, width) {
  const bytes = new Uint8ClampedArray(height * width * 4); // rounds to nearest, half to even, and clips
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 3 * (y * stride + x);
      const to = 4 * (y * width + x);
      bytes[to] = rgb[from];
      bytes[to + 1] = rgb[from + 1];
      bytes[to + 2] = rgb[from + 2];
      bytes[to + 3] = 255;
    }
  }
  return bytes;
}

function mix(into, at, from, where, weight) {
  for (let c = 0; c < 3; c++) {
    const value = from[where + c];
    into[at + c] = weight === 1 ? value : into[at + c] + weight * (value - into[at + c]);
  }
}

function reflect(i, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const phase = i % period;
  return phase < length ? phase : period - phase;
}
