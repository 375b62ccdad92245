// Skeleton over the picture, the pose in space, actions over time.

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const side = (joint) => "lr".includes(joint[0]) && joint[1] === "_" ? joint[0] : "m";
export const shade = (n) => style(`--c${n % 8}`);

/** Bones and joints on a canvas; points: [x, y] px of the canvas. Unsure ones are faint. */
function skeleton(context, points, score, layout, width) {
  context.lineCap = "round";
  layout.parents.forEach((parent, j) => {
    if (parent < 0) return;
    context.globalAlpha = Math.min(score[j], score[parent]) < 0.3 ? 0.35 : 1;
    for (const [colour, wide] of [["#0c0e12", width + 3], [style(`--${side(layout.joints[j])}`), width]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.beginPath();
      context.moveTo(...points[parent]);
      context.lineTo(...points[j]);
      context.stroke();
    }
  });
  points.forEach((point, j) => {
    context.globalAlpha = score[j] < 0.3 ? 0.35 : 1;
    context.fillStyle = "#fff";
    context.beginPath();
    context.arc(...point, Math.max(width * 0.6, 2), 0, 7);
    context.fill();
  });
  context.globalAlpha = 1;
}

export function drawPerson(canvas, person, layout) {
  const tall = Math.max(person.box[2] - person.box[0], person.box[3] - person.box[1]);
  skeleton(canvas.getContext("2d"), person.xy, person.score, layout, Math.max(2, tall * 0.012));
}

/** The pose seen from `turn` (radians about the upright axis) and `tilt`, or its mirror image; a
 * floor below it. */
export function drawSpace(canvas, person, layout, { turn, tilt, mirrored }) {
  const context = canvas.getContext("2d"), { width, height } = canvas, scale = height / 2300;
  context.clearRect(0, 0, width, height);
  const seen = ([right, y, z]) => {
    const x = mirrored ? -right : right;
    const across = x * Math.cos(turn) + z * Math.sin(turn), deep = z * Math.cos(turn) - x * Math.sin(turn);
    return [width / 2 + across * scale, height * 0.48 + (y * Math.cos(tilt) - deep * Math.sin(tilt)) * scale];
  };
  const floor = person ? Math.max(...person.xyz.map((p) => p[1])) + 40 : 900;
  context.strokeStyle = style("--line");
  context.lineWidth = 1.5;
  for (let k = -800; k <= 800; k += 400) {
    for (const ends of [[[k, floor, -800], [k, floor, 800]], [[-800, floor, k], [800, floor, k]]]) {
      context.beginPath();
      context.moveTo(...seen(ends[0]));
      context.lineTo(...seen(ends[1]));
      context.stroke();
    }
  }
  if (person) skeleton(context, person.xyz.map(seen), person.score, layout, height / 90);
}

/** The likeliest action of the last `span` s, as coloured stretches with their names. */
export function drawTimeline(canvas, history, labels, now, span = 30) {
  const context = canvas.getContext("2d"), { width, height } = canvas;
  context.fillStyle = style("--page");
  context.fillRect(0, 0, width, height);
  const at = (time) => width - (now - time) / span * width;
  const runs = [];
  for (const [time, best] of history) {
    const last = runs[runs.length - 1];
    if (last && last.best === best && time - last.end < 1) last.end = time;
    else runs.push({ best, start: last && time - last.end < 1 ? last.end : time, end: time });
  }
  const narrow = Math.min(canvas.clientWidth / width, 1) || 1; // the canvas is drawn narrower
  context.font = `${height * 0.36}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const { best, start, end } of runs) {
    const left = at(start), long = Math.max(at(end) - left, 2);
    context.fillStyle = shade(best);
    context.fillRect(left, 0, long, height);
    if (long * narrow > context.measureText(labels[best]).width + 12) {
      context.fillStyle = style("--card");
      context.save();
      context.translate(Math.max(left, 0), height / 2);
      context.scale(1 / narrow, 1);
      context.fillText(labels[best], 6, 0);
      context.restore();
    }
  }
}
