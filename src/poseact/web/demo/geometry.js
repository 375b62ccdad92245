// Boxes, crops and camera points: core/geometry.py and inference/look.py for one person.
// A box is [x0, y0, x1, y1] px; a picture is {data: RGBA bytes, width, height}.

export const DEPTH_RANGE_MM = 2000;
export const FOCAL = 1.2;
const HEIGHT_MM = 1700;
// Lengths as shares of the stature: Drillis and Contini 1966, after Winter, figure 4.1.
const LIMBS = [
  ["shoulder", "elbow", 0.186], ["elbow", "wrist", 0.146], ["hip", "knee", 0.245],
  ["knee", "ankle", 0.246], ["shoulder", "hip", 0.288],
];

export const longer = (box) => Math.max(box[2] - box[0], box[3] - box[1]);
export const centre = (box) => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
export const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

export function square(box, margin = 1) {
  const [x, y] = centre(box), half = longer(box) / 2 * margin;
  return [x - half, y - half, x + half, y + half];
}

export function iou(a, b) {
  const width = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0);
  const height = Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return width * height / Math.max(area(a) + area(b) - width * height, 1e-9);
}

/** The box whose crop is the square on the whole picture. */
export const wholeBox = (picture, margin) => square([0, 0, picture.width, picture.height], 1 / margin);

/** The square on a box, its side times `margin`, as `size` x `size` RGB bytes; black outside. As
 * core.geometry.warp and OpenCV compute it, to the last digit: a byte that is rounded differently
 * can move an unsure joint. */
export function warp(picture, box, margin, size) {
  let { data, width, height } = picture;
  const inner = square(box), middle = centre(inner), step = 1 / ((inner[2] - inner[0]) * margin);
  let scale = [size * step, size * step]; // crop px per picture px
  const shift = middle.map((value) => size * (0.5 - step * value));
  const shrink = 1 / Math.sqrt(scale[0] * scale[1]);
  if (shrink >= 2) { // read from a smaller copy, to keep it free of aliasing
    const factor = 1 / Math.floor(shrink);
    const small = shrunk(picture, Math.max(even(width * factor), 1), Math.max(even(height * factor), 1));
    scale = [scale[0] * (1 / (small.width / width)), scale[1] * (1 / (small.height / height))];
    ({ data, width, height } = small);
  }
  const out = new Uint8Array(size * size * 3), single = Math.fround;
  const determinant = 1 / (scale[0] * scale[1]);
  const along = [scale[1] * determinant, scale[0] * determinant];
  const start = along.map((value, k) => single(-value * (scale[k] * 0.5 + (shift[k] - 0.5))));
  const [alongX, alongY] = along.map(single), [startX, startY] = start;
  const at = (row, column, k) => (
    row < 0 || row >= height || column < 0 || column >= width ? 0 : data[4 * (row * width + column) + k]);
  for (let row = 0; row < size; row++) {
    const y = single(row * alongY + startY), top = Math.floor(y), down = single(y - top);
    if (top < -1 || top >= height) continue;
    for (let column = 0; column < size; column++) {
      const x = single(column * alongX + startX), left = Math.floor(x), right = single(x - left);
      if (left < -1 || left >= width) continue;
      for (let k = 0; k < 3; k++) {
        const a = at(top, left, k), b = at(top, left + 1, k), c = at(top + 1, left, k), d = at(top + 1, left + 1, k);
        const upper = single(a + right * (b - a)), lower = single(c + right * (d - c));
        out[3 * (row * size + column) + k] = even(single(upper + down * (lower - upper)));
      }
    }
  }
  return out;
}
/** Rounded as Python rounds: halves to the even number. */
function even(value) {
  const whole = Math.floor(value), part = value - whole;
  return part === 0.5 ? whole + whole % 2 : Math.round(value);
}

/** A smaller picture, each pixel the mean of what it covers (OpenCV's INTER_AREA). */
function shrunk(picture, width, height) {
  const columns = covered(picture.width, width), rows = covered(picture.height, height);
  const half = picture.width === 2 * width && picture.height === 2 * height;
  const round = half ? Math.round : even; // as OpenCV does in each case
  const across = new Float32Array(picture.height * width * 3);
  for (let row = 0; row < picture.height; row++) {
    for (let column = 0; column < width; column++) {
      const to = 3 * (row * width + column);
      for (const [from, weight] of columns[column]) {
        const at = 4 * (row * picture.width + from);
        for (let k = 0; k < 3; k++) across[to + k] += weight * picture.data[at + k];
      }
    }
  }
  const data = new Uint8Array(width * height * 4);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (let k = 0; k < 3; k++) {
        let sum = 0;
        for (const [from, weight] of rows[row]) sum += weight * across[3 * (from * width + column) + k];
        data[4 * (row * width + column) + k] = round(sum);
      }
    }
  }
  return { data, width, height };
}

function covered(from, to) {
  const ratio = from / to;
  return Array.from({ length: to }, (_, n) => {
    const start = n * ratio, end = Math.min((n + 1) * ratio, from), parts = [];
    for (let k = Math.floor(start); k < end - 1e-9; k++) {
      parts.push([k, (Math.min(k + 1, end) - Math.max(k, start)) / (end - start)]);
    }
    return parts;
  });
}

/** Bytes (side, side, 3) as the network reads them: (3, side, side) from -1 to 1. */
export function planes(bytes, side) {
  const out = new Float32Array(3 * side * side);
  for (let n = 0; n < side * side; n++) {
    for (let k = 0; k < 3; k++) out[k * side * side + n] = bytes[3 * n + k] / 127.5 - 1;
  }
  return out;
}

/** Root-relative joints [x, y, z] mm, of joints [u, v, d] in a square crop: look.lift_to_camera for
 * somebody of 1.7 m before a camera whose focal length is 1.2 times the longer side. */
export function lifted(uvd, crop, picture, layout) {
  const side = crop[2] - crop[0], focal = FOCAL * Math.max(picture.width, picture.height);
  const rays = uvd.map(([u, v]) => [
    (crop[0] + u * side - picture.width / 2) / focal, (crop[1] + v * side - picture.height / 2) / focal, 1,
  ]);
  const depth = uvd.map((joint) => (joint[2] - 0.5) * DEPTH_RANGE_MM);
  let a = 0, b = 0, c = 0;
  for (const [upper, lower, share] of LIMBS) {
    for (const which of "lr") {
      const i = layout.joints.indexOf(`${which}_${upper}`), j = layout.joints.indexOf(`${which}_${lower}`);
      for (let k = 0; k < 3; k++) {
        const over = rays[i][k] - rays[j][k], along = rays[i][k] * depth[i] - rays[j][k] * depth[j];
        a += over * over; b += over * along; c += along * along;
      }
      c -= (share * HEIGHT_MM) ** 2;
    }
  }
  a = Math.max(a, 1e-12);
  const nearest = Math.max(500, 300 - Math.min(...depth));
  const away = Math.min(Math.max((-b + Math.sqrt(Math.max(b * b - a * c, 0))) / a, nearest), 1e5);
  const points = rays.map((ray, n) => ray.map((value) => value * (away + depth[n])));
  const root = points[layout.parents.indexOf(-1)];
  return points.map((point) => point.map((value, k) => value - root[k]));
}
