// The numbers of the page: places and signals of all frames, as whole numbers of 16 bits.

// 65535 stands for "not a number", as the last frames of a diverged run are; 0 to 65534 span low to low + range.
const MISSING = 65535;
const STEPS = 65534;

function words(id) {
  const text = document.getElementById(id).textContent.trim();
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Uint16Array(bytes.buffer);
}

class Recording {
  constructor() {
    Object.assign(this, JSON.parse(document.getElementById("header").textContent));
    this.frames = this.time.length;
    this.particles = this.neuron.length;
    const places = words("places");
    // Four words a place: the fourth says whether it is a number, and keeps the graphics card's alignment.
    // Behind the last frame there is room for one more, so that every frame has a next one.
    this.words = new Uint16Array(4 * (this.frames + 1) * this.particles);
    for (let i = 0; i < this.frames * this.particles; i++) {
      const whole = places[3 * i] !== MISSING;
      for (let axis = 0; axis < 3; axis++) this.words[4 * i + axis] = whole ? places[3 * i + axis] : 0;
      this.words[4 * i + 3] = whole ? 65535 : 0;
    }
    this.R = this.received && words("received");
    this.E = this.emitted && words("emitted");
    this.speeds = this.speed && words("speed-words");
    // The cube [-1, 1]^3 holds everything, with one scale for all axes.
    const widest = Math.max(...this.range) || 1;
    this.scale = 2 / widest;
    this.middle = this.low.map((low, axis) => low + this.range[axis] / 2);
  }

  // A place in the file's units, between frames where `at` is no whole number; null where it is not a number.
  place(at, particle) {
    const first = Math.floor(at);
    const next = Math.min(first + 1, this.frames - 1);
    const share = at - first;
    const i = 4 * (first * this.particles + particle);
    const j = 4 * (next * this.particles + particle);
    if (!this.words[i + 3] || (share > 0 && !this.words[j + 3])) return null;
    return this.low.map((low, axis) => {
      const word = this.words[i + axis] * (1 - share) + this.words[j + axis] * share;
      return low + (this.range[axis] * word) / STEPS;
    });
  }

  // The same in the cube's units.
  world(at, particle) {
    const place = this.place(at, particle);
    return place && place.map((value, axis) => (value - this.middle[axis]) * this.scale);
  }

  // R or E of a particle in a frame; copies of a neuron share them.
  signal(name, frame, particle) {
    const given = name === "R" ? this.received : this.emitted;
    const word = (name === "R" ? this.R : this.E)[frame * this.shown + (particle % this.shown)];
    return word === MISSING ? NaN : given.low + (given.range * word) / STEPS;
  }

  // |q'| of a particle in a frame, in all dimensions.
  speedOf(frame, particle) {
    const word = this.speeds[frame * this.particles + particle];
    return word === MISSING ? NaN : this.speed.low + (this.speed.range * word) / STEPS;
  }

  get span() {
    return this.time[this.frames - 1] - this.time[0];
  }

  // Where one is when some time has passed: between two frames; the last frame at most.
  later(at, passed) {
    if (!this.span) return Math.min(this.frames - 1, at + passed);
    const wanted = this.timeAt(at) + passed;
    let first = Math.floor(at);
    while (first + 1 < this.frames && this.time[first + 1] <= wanted) first += 1;
    if (first + 1 >= this.frames) return this.frames - 1;
    return first + Math.max(0, wanted - this.time[first]) / (this.time[first + 1] - this.time[first]);
  }

  timeAt(at) {
    const first = Math.floor(at);
    const next = Math.min(first + 1, this.frames - 1);
    return this.time[first] + (this.time[next] - this.time[first]) * (at - first);
  }
}
