// Colours of particles: by activation, speed or layer. One byte a particle and frame, an index into 256 colours.

function rgb(text) {
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
}

class Colouring {
  constructor(recording, name) {
    this.name = name;
    const { frames, particles } = recording;
    if (name === "layer") {
      this.fixed = Uint8Array.from(recording.group);
      this.colours = recording.palette;
    } else {
      const values = new Float32Array(frames * particles);
      for (let k = 0; k < frames; k++)
        for (let p = 0; p < particles; p++)
          values[k * particles + p] = name === "speed" ? recording.speedOf(k, p) : recording.signal("E", k, p);
      this.scaleTo(values, recording);
    }
  }

  // Speeds have rare peaks, so their scale ends where 99 in 100 are below.
  scaleTo(values, recording) {
    const every = Math.max(1, Math.floor(values.length / 200000));
    const sorted = values.filter((value, i) => i % every === 0 && Number.isFinite(value)).sort();
    this.low = sorted.length ? sorted[0] : 0;
    this.high = sorted.length ? sorted[Math.floor((sorted.length - 1) * (this.name === "speed" ? 0.99 : 1))] : 1;
    // Signed values have the middle colour at 0, or silence would look like the lowest value.
    this.colours = this.low < 0 ? recording.signed : recording.ramp;
    if (this.low < 0) [this.low, this.high] = [-Math.max(-this.low, this.high), Math.max(-this.low, this.high)];
    const span = this.high - this.low || 1;
    this.bytes = new Uint8Array(values.length + recording.particles); // behind every frame there is a next one
    const none = this.low < 0 ? 128 : 0; // what is not a number is as silent
    for (let i = 0; i < values.length; i++)
      this.bytes[i] = !Number.isFinite(values[i]) ? none : Math.max(0, Math.min(255, Math.round((255 * (values[i] - this.low)) / span)));
  }

  index(frame, particle, particles) {
    return this.fixed ? this.fixed[particle] : this.bytes[frame * particles + particle];
  }

  // The colours for this ground: what is black on white is white on black.
  shades(dark) {
    return this.colours.map((text) => rgb(dark && text === "#000000" ? "#ffffff" : text));
  }
}
