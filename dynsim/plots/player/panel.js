// What stands around the neurons: the cube with its axes, the legend, and the picked neuron's numbers and path.

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function showLegend(recording, colouring, dark) {
  find("legend-title").textContent = `Colour: ${colouringName(recording, colouring.name)}`;
  const legend = find("legend");
  legend.replaceChildren();
  const shades = colouring.shades(dark).map((shade) => `rgb(${shade.join(" ")})`);
  if (!colouring.fixed) {
    const ramp = element("div", "", legend);
    ramp.className = "ramp";
    ramp.style.background = `linear-gradient(to right, ${shades.filter((_, i) => i % 15 === 0).join(", ")})`;
    const ends = element("div", "", legend);
    ends.className = "ends";
    element("span", digits(colouring.low), ends);
    element("span", (colouring.name === "speed" ? "≥ " : "") + digits(colouring.high), ends);
    return;
  }
  const list = element("ul", "", legend);
  list.className = "swatches";
  list.tabIndex = 0;
  list.setAttribute("aria-label", "Layers");
  recording.groupNames.forEach((name, i) => {
    const item = element("li", "", list);
    element("span", "", item).style.background = shades[i];
    item.append(name);
  });
}

// The edges of the box that holds all places, and the names of its axes with their ends.
function drawCube(player, matrix) {
  const { back, recording, ratio, camera } = player;
  const { width, height } = back.canvas;
  back.clearRect(0, 0, width, height);
  const seen = corners(camera.half).map((corner) => project(matrix, corner, width, height));
  const edges = [0, 1, 2].map((axis) => boxEdges(axis, camera.half).map((ends) => ends.map((i) => seen[i])));
  const behind = ([a, b]) => Math.min(a.w, b.w) <= 0;
  back.strokeStyle = style("--frame");
  back.lineWidth = ratio;
  back.globalAlpha = 0.55;
  back.beginPath();
  for (const [a, b] of edges.flat().filter((edge) => !behind(edge))) {
    back.moveTo(a.x, a.y);
    back.lineTo(b.x, b.y);
  }
  back.stroke();
  back.globalAlpha = 1;
  back.fillStyle = style("--quiet");
  const centre = project(matrix, [0, 0, 0], width, height);
  recording.axes.forEach((name, axis) => {
    // An axis is named along its outermost edge, the lower one of two.
    const outside = ([a, b]) => Math.hypot(a.x + b.x - 2 * centre.x, a.y + b.y - 2 * centre.y) + (a.y + b.y) * 1e-3;
    const [edge] = edges[axis].filter((ends) => !behind(ends)).sort((e, f) => outside(f) - outside(e));
    if (edge) nameAxis(player, name, edge, centre, recording.low[axis], recording.range[axis]);
  });
}

// The edges of a box along one axis, as pairs of corners: four, fewer where the box is flat.
function boxEdges(axis, half) {
  if (half[axis] === 0) return [];
  const others = [0, 1, 2].filter((other) => other !== axis);
  const starts = others.reduce((list, other) => {
    return half[other] === 0 ? list : [...list, ...list.map((i) => i | (1 << other))];
  }, [0]);
  return starts.map((i) => [i, i | (1 << axis)]);
}

function nameAxis({ back, ratio }, name, [a, b], centre, low, range) {
  const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  const away = Math.hypot(middle.x - centre.x, middle.y - centre.y) || 1;
  const [x, y] = [(middle.x - centre.x) / away, (middle.y - centre.y) / away];
  const align = x < -0.4 ? "right" : x > 0.4 ? "left" : "center";
  back.textAlign = "left";
  back.textBaseline = "middle";
  const put = (text, share, far) => {
    const along = (one) => a[one] + share * (b[one] - a[one]);
    // Beside the edge, but never cut off by the side of the picture.
    const width = back.measureText(text).width;
    const left = along("x") + far * ratio * x - width * { left: 0, center: 0.5, right: 1 }[align];
    back.fillText(text, Math.max(4, Math.min(back.canvas.width - width - 4, left)), along("y") + far * ratio * y);
  };
  back.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  put(name, 0.5, 16);
  back.font = `${12 * ratio}px system-ui, sans-serif`;
  put(digits(low), 0.06, 13);
  put(digits(low + range), 0.94, 13);
}

// Rows of name and value for the picked neuron.
function readout(player) {
  const { recording, picked, at } = player;
  const frame = Math.round(at);
  const copies = recording.particles / recording.shown;
  const place = recording.place(frame, picked);
  const rows = [["neuron", String(recording.neuron[picked])]];
  if (copies > 1) rows.push(["copy", `${Math.floor(picked / recording.shown)} of ${copies}`]);
  rows.push(["layer", recording.groupNames[recording.group[picked]]]);
  if (recording.received) rows.push([`received R${recording.component}`, digits(recording.signal("R", frame, picked))]);
  if (recording.emitted) rows.push([`emitted E${recording.component}`, digits(recording.signal("E", frame, picked))]);
  if (recording.speed) rows.push([recording.speed.name, digits(recording.speedOf(frame, picked))]);
  recording.axes.forEach((name, axis) => rows.push([name, place ? digits(place[axis]) : "not a number"]));
  return rows;
}

function drawPicked(player, matrix) {
  const { front, recording, picked, at, ratio } = player;
  const { width, height } = front.canvas;
  front.clearRect(0, 0, width, height);
  if (picked === null) return;
  const table = find("rows");
  table.replaceChildren();
  for (const [name, value] of readout(player)) {
    const row = element("tr", "", table);
    element("th", name, row).scope = "row";
    element("td", value, row);
  }
  const accent = style("--accent");
  front.strokeStyle = accent;
  front.lineWidth = 1.5 * ratio;
  front.globalAlpha = 0.8;
  front.beginPath();
  let drawing = false;
  for (let frame = 0; frame < recording.frames; frame++) {
    const world = recording.world(frame, picked);
    const seen = world && project(matrix, world, width, height);
    if (seen && seen.w > 0) drawing ? front.lineTo(seen.x, seen.y) : front.moveTo(seen.x, seen.y);
    drawing = Boolean(seen);
  }
  front.stroke();
  front.globalAlpha = 1;
  const now = recording.world(at, picked);
  const seen = now && project(matrix, now, width, height);
  if (seen && seen.w > 0) {
    front.lineWidth = 2.5 * ratio;
    front.beginPath();
    front.arc(seen.x, seen.y, (2.2 * player.size * ratio) / seen.w + 5 * ratio, 0, 7);
    front.stroke();
  }
  if (!find("chart").hidden) drawChart(player, accent);
}

// R and E of the picked neuron over time (its speed where there are no signals), with a line where we are.
function drawChart(player, accent) {
  const { recording, picked, ratio } = player;
  const canvas = find("chart");
  const wanted = [canvas.clientWidth, canvas.clientHeight].map((size) => Math.max(1, Math.round(size * ratio)));
  if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) [canvas.width, canvas.height] = wanted;
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const [left, top, bottom] = [8 * ratio, 20 * ratio, height - 18 * ratio];
  const right = width - left;
  const names = recording.emitted ? ["R", "E"] : recording.speed ? [recording.speed.name] : [];
  const value = (name, k) => (recording.emitted ? recording.signal(name, k, picked) : recording.speedOf(k, picked));
  const curves = names.map((name) => recording.time.map((_, k) => value(name, k)));
  const every = curves.flat().filter(Number.isFinite);
  const [low, high] = every.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const span = high - low || 1;
  const [first, last] = [recording.time[0], recording.time[recording.frames - 1]];
  const x = (time) => left + ((right - left) * (time - first)) / (last - first || 1);
  const y = (number) => bottom - ((bottom - top) * (number - low)) / span;
  context.clearRect(0, 0, width, height);
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  const text = (words, at, above, align, colour) => {
    Object.assign(context, { textAlign: align, fillStyle: colour });
    context.fillText(words, at, above);
  };
  context.strokeStyle = style("--line");
  context.lineWidth = ratio;
  context.strokeRect(left, top, right - left, bottom - top);
  curves.forEach((curve, i) => {
    context.strokeStyle = i ? accent : style("--text");
    context.setLineDash(i ? [] : [4 * ratio, 3 * ratio]);
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    let drawing = false;
    curve.forEach((number, k) => {
      const whole = Number.isFinite(number);
      const at = [x(recording.time[k]), y(number)];
      if (whole) drawing ? context.lineTo(...at) : context.moveTo(...at);
      drawing = whole;
    });
    context.stroke();
    const mark = i || names.length < 2 ? "—" : "- -";
    text(`${mark} ${names[i]}`, left + 42 * ratio * i, 13 * ratio, "left", context.strokeStyle);
  });
  context.setLineDash([]);
  context.strokeStyle = style("--quiet");
  context.beginPath();
  context.moveTo(x(recording.timeAt(player.at)), top);
  context.lineTo(x(recording.timeAt(player.at)), bottom);
  context.stroke();
  if (every.length) text(`${digits(low)} to ${digits(high)}`, right, 13 * ratio, "right", style("--quiet"));
  text(digits(first), left, height - 4 * ratio, "left", style("--quiet"));
  text(`${recording.timeName} ${digits(last)}`, right, height - 4 * ratio, "right", style("--quiet"));
}
