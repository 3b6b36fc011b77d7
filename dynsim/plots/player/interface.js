// The page's controls, and the loop that plays.

const find = (id) => document.getElementById(id);
const LONGEST_TRAIL = 12; // frames
const COLOURINGS = { activation: "activation E", layer: "layer", speed: "" };
const darkness = matchMedia("(prefers-color-scheme: dark)");

// Four digits, as a person reads them.
function digits(value) {
  if (!Number.isFinite(value)) return "not a number";
  const size = Math.abs(value);
  return size && (size < 1e-3 || size >= 1e5) ? value.toExponential(3) : String(Number(value.toPrecision(4)));
}

function colouringName(recording, name) {
  if (name === "speed") return recording.speed.name;
  return name === "activation" ? COLOURINGS[name] + recording.component : COLOURINGS[name];
}

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text; // never as HTML: names come from files
  parent.append(made);
  return made;
}

class Player {
  constructor(recording) {
    this.recording = recording;
    this.camera = new Camera(recording.range.map((value) => (value * recording.scale) / 2));
    this.at = 0;
    this.playing = false;
    this.picked = null;
    this.trails = true;
    this.trail = LONGEST_TRAIL;
    this.size = 10;
    // Twelve seconds for all frames, but no more of them a second than a screen shows, nor fewer than two. Time passes
    // evenly, whatever the frames' times are; where all are at one time, frame by frame.
    const rate = Math.max(2, Math.min(60, recording.frames / 12));
    this.rate = (recording.span || recording.frames - 1) * (rate / Math.max(1, recording.frames - 1));
    this.speed = 1;
    this.drawn = 0;
    this.back = find("back").getContext("2d");
    this.front = find("front").getContext("2d");
    this.drawing = this.start(find("neurons"));
    this.colourings = {};
    this.describe();
    this.listen();
    this.colour(recording.emitted ? "activation" : "layer");
    this.resize();
    this.reset();
  }

  start(canvas) {
    try {
      return new WebGLDrawing(canvas, this.recording);
    } catch (error) {
      find("trouble").textContent = `Drawn without WebGL (${error.message}): slower, with shorter trails.`;
      find("trouble").hidden = false;
      // A canvas that was asked for WebGL may refuse another kind.
      const fresh = canvas.cloneNode();
      canvas.replaceWith(fresh);
      return new CanvasDrawing(fresh, this.recording);
    }
  }

  describe() {
    const { recording } = this;
    find("title").textContent = recording.title;
    find("facts").textContent = recording.facts;
    find("ended").textContent = recording.ended ?? "";
    find("ended").hidden = !recording.ended;
    recording.notes.forEach((note) => element("li", note, find("notes")));
    find("scrub").max = recording.frames - 1;
    find("pick").max = recording.neurons - 1;
    for (const name of Object.keys(COLOURINGS)) {
      if ((name === "activation" && !recording.emitted) || (name === "speed" && !recording.speed)) continue;
      element("option", colouringName(recording, name), find("colour")).value = name;
    }
  }

  listen() {
    const stage = find("neurons");
    find("play").onclick = () => this.play(!this.playing);
    find("scrub").oninput = (event) => this.go(Number(event.target.value));
    find("speed").onchange = (event) => (this.speed = Number(event.target.value));
    find("colour").onchange = (event) => this.colour(event.target.value);
    find("size").oninput = (event) => this.refresh((this.size = Number(event.target.value)));
    find("trails").onchange = (event) => this.refresh((this.trails = event.target.checked));
    find("reset").onclick = () => this.reset();
    find("help").onclick = () => find("keys").showModal();
    find("unpick").onclick = () => this.pick(null);
    find("pick").onchange = (event) => this.pickNumber(event.target.value);
    document.addEventListener("keydown", (event) => this.key(event));
    darkness.addEventListener("change", () => this.colour(this.colouring.name));
    new ResizeObserver(() => this.resize()).observe(find("stage"));
    stage.addEventListener("dblclick", () => this.reset());
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.pointers(stage);
  }

  wheel(event) {
    event.preventDefault();
    this.camera.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 400));
    this.refresh();
  }

  // Drag turns, with Shift or another button moves; two fingers zoom; a press without a drag picks.
  pointers(stage) {
    const down = new Map();
    let moved = 0;
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      down.set(event.pointerId, event);
      if (down.size === 1) moved = 0;
    });
    stage.addEventListener("pointermove", (event) => {
      const last = down.get(event.pointerId);
      if (!last) return;
      const [x, y] = [event.clientX - last.clientX, event.clientY - last.clientY];
      moved += Math.hypot(x, y);
      if (down.size === 2) {
        const other = [...down.values()].find((one) => one.pointerId !== event.pointerId);
        const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
        this.camera.zoom(apart(last) / apart(event));
      } else if (event.shiftKey || event.buttons > 1) {
        this.camera.shift(x / stage.clientHeight, y / stage.clientHeight);
      } else {
        this.camera.rotate(-x / 150, y / 150);
      }
      down.set(event.pointerId, event);
      this.refresh();
    });
    const up = (event) => {
      const known = down.delete(event.pointerId);
      if (known && event.type === "pointerup" && moved < 4 && !down.size) {
        const box = stage.getBoundingClientRect();
        this.pickAt(event.clientX - box.left, event.clientY - box.top);
      }
    };
    stage.addEventListener("pointerup", up);
    stage.addEventListener("pointercancel", up);
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || find("keys").open) return;
    const typing = event.target.matches("select, input:not([type=checkbox])");
    const action = this.action(event.key);
    // Controls keep the keys that they use themselves; a button is pressed by Space.
    if (!action || typing || (event.key === " " && event.target.matches("button, input"))) return;
    event.preventDefault();
    action();
  }

  action(key) {
    const { camera } = this;
    const whole = Math.floor(this.at);
    const turn = (x, y) => () => this.refresh(camera.rotate(x, y));
    const zoom = (factor) => () => this.refresh(camera.zoom(factor));
    return {
      " ": () => this.play(!this.playing),
      ArrowLeft: () => this.go(whole === this.at ? whole - 1 : whole),
      ArrowRight: () => this.go(whole + 1),
      Home: () => this.go(0),
      End: () => this.go(this.recording.frames - 1),
      "[": () => this.choose("speed", -1),
      "]": () => this.choose("speed", 1),
      c: () => this.choose("colour", 1, true),
      t: () => find("trails").click(),
      n: () => this.step(1),
      p: () => this.step(-1),
      Escape: () => this.pick(null),
      a: turn(0.1, 0),
      d: turn(-0.1, 0),
      w: turn(0, 0.1),
      s: turn(0, -0.1),
      "+": zoom(0.9),
      "=": zoom(0.9),
      "-": zoom(1.1),
      r: () => this.reset(),
      "?": () => find("keys").showModal(),
    }[key];
  }

  // Another entry of a list, as if it had been chosen by hand.
  choose(id, by, around = false) {
    const list = find(id);
    const count = list.options.length;
    const wanted = list.selectedIndex + by;
    list.selectedIndex = around ? (wanted + count) % count : Math.max(0, Math.min(count - 1, wanted));
    list.dispatchEvent(new Event("change"));
  }

  play(on) {
    if (on && this.at >= this.recording.frames - 1) this.at = 0;
    this.playing = on && this.recording.frames > 1;
    find("play").textContent = this.playing ? "Pause" : "Play";
    find("play").setAttribute("aria-pressed", String(this.playing));
    this.last = null;
    this.counted = { since: performance.now(), frames: this.drawn };
    find("rate").textContent = "";
    if (this.playing) requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    if (!this.playing) return;
    const passed = this.last === null ? 0 : Math.min(0.25, (now - this.last) / 1000);
    this.last = now;
    this.at = this.recording.later(this.at, passed * this.rate * this.speed);
    this.draw();
    const seconds = (now - this.counted.since) / 1000;
    if (seconds > 1) {
      const rate = (this.drawn - this.counted.frames) / seconds;
      // Where the machine falls below thirty frames a second, trails become shorter.
      if (rate < 30 && this.trails && this.trail > 2) this.trail = Math.ceil(this.trail / 2);
      find("rate").textContent = `${Math.round(rate)} fps${this.trail < LONGEST_TRAIL ? ", short trails" : ""}`;
      this.counted = { since: now, frames: this.drawn };
    }
    if (this.at >= this.recording.frames - 1) this.play(false);
    else requestAnimationFrame((later) => this.tick(later));
  }

  go(frame) {
    this.at = Math.max(0, Math.min(this.recording.frames - 1, frame));
    this.refresh();
  }

  reset() {
    this.camera.reset(find("neurons").clientWidth / find("neurons").clientHeight);
    this.refresh();
  }

  colour(name) {
    this.colourings[name] ??= new Colouring(this.recording, name);
    this.colouring = this.colourings[name];
    find("colour").value = name;
    this.drawing.colour(this.colouring, darkness.matches);
    showLegend(this.recording, this.colouring, darkness.matches);
    this.refresh();
  }

  // Particles of the neuron of a number: one for every copy.
  copies(neuron) {
    const column = this.recording.neuron.indexOf(neuron);
    const { shown, particles } = this.recording;
    return column < 0 ? [] : Array.from({ length: particles / shown }, (_, copy) => copy * shown + column);
  }

  pickNumber(text) {
    const neuron = Number.parseInt(text, 10);
    if (text === "" || !Number.isFinite(neuron)) return this.pick(null);
    const copies = this.copies(neuron);
    if (copies.length) return this.pick(copies[0]);
    find("unpicked").textContent = `Neuron ${neuron} is not among the ${this.recording.shown} on this page.`;
    return this.pick(null);
  }

  // The nearest particle within 18 pixels; of several, the one in front.
  pickAt(x, y) {
    const { clientWidth: width, clientHeight: height } = find("neurons");
    const matrix = this.camera.matrix(width / height);
    let best = null;
    for (let p = 0; p < this.recording.particles; p++) {
      const world = this.recording.world(this.at, p);
      const seen = world && project(matrix, world, width, height);
      const apart = seen && seen.w > 0 ? Math.hypot(seen.x - x, seen.y - y) : Infinity;
      if (apart < 18 && (!best || apart + seen.w < best.apart + best.w)) best = { p, apart, w: seen.w };
    }
    this.pick(best && best.p);
  }

  step(by) {
    const { shown } = this.recording;
    this.pick(this.picked === null ? (by > 0 ? 0 : shown - 1) : (this.picked + by + shown) % shown);
  }

  pick(particle) {
    this.picked = particle;
    const none = particle === null;
    find("pick").value = none ? "" : this.recording.neuron[particle];
    find("unpicked").hidden = !none;
    find("readout").hidden = none;
    find("chart").hidden = none || this.recording.frames < 2;
    find("spoken").textContent = none ? "No neuron picked" : readout(this).map((row) => row.join(" ")).join(", ");
    this.refresh();
  }

  resize() {
    this.ratio = Math.min(2, devicePixelRatio || 1);
    for (const id of ["back", "neurons", "front", "chart"]) {
      const canvas = find(id);
      canvas.width = Math.max(1, Math.round(canvas.clientWidth * this.ratio));
      canvas.height = Math.max(1, Math.round(canvas.clientHeight * this.ratio));
    }
    this.refresh();
  }

  // Draw soon, once for all that changed; while playing the loop does it.
  refresh() {
    if (this.playing || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const { width, height } = find("neurons");
    const matrix = this.camera.matrix(width / height);
    drawCube(this, matrix);
    this.drawing.draw({
      at: this.at,
      matrix,
      size: this.size,
      trail: this.trails ? this.trail : 0,
      edge: rgb(getComputedStyle(document.documentElement).getPropertyValue("--edge").trim()),
      ratio: this.ratio,
    });
    drawPicked(this, matrix);
    const frame = Math.round(this.at);
    find("scrub").value = frame;
    const { timeName, number } = this.recording;
    find("clock").textContent = `${timeName} ${digits(this.recording.timeAt(this.at))}, frame ${number[frame]}`;
    this.drawn += 1;
  }
}

addEventListener("DOMContentLoaded", () => {
  window.player = new Player(new Recording());
});
