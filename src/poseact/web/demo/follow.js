// One person through a video: inference/session.py and tracking.py, for one and without a detector.

import { centre, iou, lifted, longer, mean, planes, square, warp, wholeBox } from "./geometry.js";

const LINGER_S = 0.5; // so long somebody who is not seen is looked for where they should be
const SLOW_S = 2; // between two frames of a slow machine; after more it is anew
const KEEP_IOU = 0.8; // squares that overlap more: the crop stays where it is
const LIMIT = 1.1; // largest cost at which somebody seen is somebody followed
const LIKENESS = 0.1;

export function poseBox(xy, score, picture) {
  const sorted = [...score].sort((a, b) => a - b), n = sorted.length;
  const median = n % 2 ? sorted[(n - 1) / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  const known = xy.filter((_, k) => score[k] >= Math.min(0.3, median));
  const xs = known.map((p) => p[0]), ys = known.map((p) => p[1]);
  let box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  const spill = 0.25 * longer(box), high = [picture.width + spill, picture.height + spill];
  box = box.map((value, k) => Math.min(Math.max(value, -spill), high[k % 2]));
  if (longer(box) < 32) {
    const [x, y] = [0, 1].map((k) => Math.min(Math.max(centre(box)[k], 0), k ? picture.height : picture.width));
    box = [x - 16, y - 16, x + 16, y + 16];
  }
  return box;
}

function likeness(a, b, side) {
  return mean(a.map((p, k) => {
    const apart = Math.hypot(p[0] - b[k][0], p[1] - b[k][1]) / (LIKENESS * Math.max(side, 1));
    return Math.exp(-apart * apart / 2);
  }));
}

/** One Euro filter (Casiez, Roussel, Vogel, CHI 2012), as inference/smoothing.py. */
export class OneEuro {
  push(points, time, scale) {
    const step = time - this.time;
    this.time = time;
    if (!(step > 0)) {
      this.speeds = points.map((p) => p.map(() => 0));
      return this.points = points.map((p) => [...p]);
    }
    const blend = (hz) => 1 / (1 + 1 / (2 * Math.PI * hz * step)), weight = blend(1);
    this.points = points.map((p, n) => {
      const speed = this.speeds[n], before = this.points[n];
      p.forEach((value, k) => { speed[k] += weight * ((value - before[k]) / step - speed[k]); });
      const w = blend(1.5 + 10 * Math.hypot(...speed) / scale);
      return p.map((value, k) => before[k] + w * (value - before[k]));
    });
    return this.points;
  }
}

/** Which frames of a video belong to a window of `fps` frames a second: inference/window.py. */
class Sampler {
  constructor(fps) { this.step = 1 / fps; }

  due(time, most) {
    if (this.next === undefined || time < this.next - 2 * this.step) {
      this.next = time + this.step;
      return 1;
    }
    const count = Math.floor((time - this.next + 5e-4) / this.step) + 1;
    if (count > most) {
      this.next = time + this.step;
      return most;
    }
    this.next += Math.max(count, 0) * this.step;
    return Math.max(count, 0);
  }
}

/** The person of a video whose frames come one after the other.
 *
 * network: {card, frames(planes), actions(windows)}. smooth: filter the poses. Whoever stands out in
 * the whole picture is followed, or whoever is in the box that `start` was given.
 */
export class Follower {
  constructor(network, { smooth = true } = {}) {
    this.network = network;
    this.smooth = smooth;
    this.start(null);
  }

  start(box) {
    this.track = null;
    this.box = box;
  }

  /** What is seen in a picture at `time` s: {xy, score, xyz, box, action}, or null. */
  async push(picture, time) {
    const track = this.track;
    const gone = track && time - track.seen, most = track && track.seen >= this.before ? SLOW_S : LINGER_S;
    if (track && !(gone >= 0 && gone <= most)) this.track = null;
    const somebody = this.track ? await this.again(picture, time) : await this.first(picture, time);
    this.before = time;
    return somebody;
  }

  async first(picture, time) {
    const { card } = this.network;
    let box = this.box;
    if (!box) { // looked at twice, as pictures are
      const whole = await this.look(picture, wholeBox(picture, card.margin));
      box = poseBox(whole.xy, whole.score, picture);
    }
    const look = await this.look(picture, box);
    if (!this.box && mean(look.score) < card.believed) return null;
    this.box = null;
    const body = poseBox(look.xy, look.score, picture);
    this.track = {
      seen: time, body, box, look, velocity: [0, 0], action: null, ring: [],
      sampler: new Sampler(card.fps), plane: new OneEuro(), space: new OneEuro(),
    };
    return this.update(look, body, picture, time);
  }

  async again(picture, time) {
    const { track, network: { card } } = this;
    const held = track.seen >= this.before && mean(track.look.score) >= (card.believed + card.sure) / 2;
    const look = await this.look(picture, held ? track.box : this.expected(track.box, time));
    const body = poseBox(look.xy, look.score, picture), was = this.expected(track.body, time);
    const alike = likeness(look.xy, track.look.xy, longer(track.body));
    const cost = 1 - iou(body, was) + 0.5 * (1 - alike);
    if (mean(look.score) < card.believed || cost > LIMIT) return null;
    return this.update(look, body, picture, time);
  }

  expected(box, time) {
    const ahead = Math.min(Math.max(time - this.track.seen, 0), LINGER_S);
    return box.map((value, k) => value + this.track.velocity[k % 2] * ahead);
  }

  async update(look, body, picture, time) {
    const { track, network: { card } } = this, step = time - track.seen;
    if (step > 0) {
      const to = centre(body), from = centre(track.body), weight = Math.min(step / 0.2, 1);
      track.velocity = track.velocity.map((v, k) => v + weight * ((to[k] - from[k]) / step - v));
    }
    track.seen = time;
    track.box = iou(square(look.box), square(body)) >= KEEP_IOU ? look.box : body;
    track.body = body;
    track.look = look;
    for (let n = track.sampler.due(time, card.frames); n > 0 && card.labels.length; n--) {
      track.ring = [...track.ring, look.features].slice(-card.frames);
      if (track.ring.length === card.frames) track.action = await this.network.actions(track.ring);
    }
    let { xy } = look, xyz = lifted(look.uvd, look.crop, picture, card);
    if (this.smooth) {
      xy = track.plane.push(xy, time, longer(body));
      xyz = track.space.push(xyz, time, 2000);
    }
    return { xy, xyz, score: look.score, box: body, action: track.action };
  }

  async look(picture, box) {
    const { card } = this.network, crop = square(box, card.margin), side = crop[2] - crop[0];
    const bytes = warp(picture, box, card.margin, card.size);
    const { uvd, score, features } = await this.network.frames(planes(bytes, card.size));
    const xy = uvd.map(([u, v]) => [crop[0] + u * side, crop[1] + v * side]);
    return { uvd, xy, score, features, crop, box };
  }
}
