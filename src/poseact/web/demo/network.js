// The exported networks in ONNX Runtime Web: everything is fetched here, once, before the first frame.

/** What this browser can do, or why it cannot. */
export function able() {
  if (typeof WebAssembly !== "object") return "This browser has no WebAssembly. Use a current Firefox, Chrome, Edge or Safari.";
  const simd = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]);
  if (!WebAssembly.validate(simd)) return "This browser's WebAssembly lacks SIMD. Use a version from 2023 or later.";
  return "";
}

async function fetched(url, said) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} is not there (${answer.status}). The page is built with: make web`);
  const parts = [], reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    said(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** All exits of a network, from the folder of this file: {card, exits, use(n), frames(planes), actions(ring), where}. */
export async function load({ base = new URL(".", import.meta.url).href, webgpu = true, said = () => {} } = {}) {
  const card = JSON.parse(new TextDecoder().decode(await fetched(`${base}models/card.json`, () => {})));
  const total = card.exits.reduce((sum, exit) => sum + exit.bytes, 0);
  let done = 0;
  const count = (bytes) => said((done += bytes) / total);
  const adapter = webgpu && navigator.gpu ? await navigator.gpu.requestAdapter().catch(() => null) : null;
  const ort = await import(`${base}lib/${adapter ? "ort.webgpu" : "ort.wasm"}.min.mjs`);
  ort.env.wasm.wasmPaths = `${base}lib/`;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
  const providers = adapter ? ["webgpu", "wasm"] : ["wasm"];
  const opened = async (name, bytes) => ort.InferenceSession.create(
    await fetched(`${base}models/${name}`, bytes), { executionProviders: providers, graphOptimizationLevel: "all" });
  const exits = [];
  for (const exit of card.exits) {
    exits.push({ frames: await opened(exit.frames, count), actions: exit.actions && await opened(exit.actions, count) });
  }
  const where = adapter ? "WebGPU" : `WebAssembly, ${ort.env.wasm.numThreads} thread${ort.env.wasm.numThreads > 1 ? "s" : ""}`;
  return new Network(ort, card, exits, where);
}

class Network {
  constructor(ort, card, exits, where) {
    Object.assign(this, { ort, card, exits, where, now: exits.length - 1 });
  }

  /** Stop at another exit from the next frame on; windows of actions begin anew. */
  use(n) { this.now = n; }

  /** What the network says of one crop, (3, side, side) from -1 to 1. */
  async frames(planes) {
    const { size, joints } = this.card, at = this.now;
    const crops = new this.ort.Tensor("float32", planes, [1, 3, size, size]);
    const out = await this.exits[at].frames.run({ crops });
    const wide = out.pose.dims[2], pose = out.pose.data;
    const uvd = joints.map((_, j) => Array.from(pose.slice(j * wide, (j + 1) * wide)));
    const features = Object.keys(out).filter((name) => name.startsWith("features"))
      .sort((a, b) => a.slice(8) - b.slice(8)).map((name) => out[name]);
    return { uvd, score: Array.from(out.score.data), features: { at, features } };
  }

  /** Probabilities of the actions that a window of T frames' features shows; null if they come from
   * different exits. */
  async actions(ring) {
    const { at } = ring[ring.length - 1], heads = this.exits[at].actions;
    if (!heads || ring.some((frame) => frame.at !== at)) return null;
    const feeds = {};
    ring[0].features.forEach((first, k) => {
      const length = first.data.length, data = new Float32Array(length * ring.length);
      ring.forEach((frame, t) => data.set(frame.features[k].data, t * length));
      feeds[`features${k}`] = new this.ort.Tensor("float32", data, [1, ring.length, ...first.dims.slice(1)]);
    });
    const { actions0 } = await heads.run(feeds), logits = Array.from(actions0.data);
    const most = Math.max(...logits), odds = logits.map((v) => Math.exp(v - most));
    const sum = odds.reduce((a, b) => a + b, 0);
    return odds.map((v) => v / sum);
  }

  /** Frames a second at every exit, measured now. */
  async rates() {
    const before = this.now, planes = new Float32Array(3 * this.card.size ** 2), found = [];
    for (let n = 0; n < this.exits.length; n++) {
      this.use(n);
      let least = Infinity;
      for (let k = 0; k < 4; k++) {
        const start = performance.now();
        await this.frames(planes);
        if (k) least = Math.min(least, performance.now() - start); // the first one warms up
      }
      found.push(1000 / least);
    }
    this.use(before);
    return found;
  }
}
