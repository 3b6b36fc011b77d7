// Drawing without WebGL: the same picture with the canvas's own discs and lines, back to front.

class CanvasDrawing {
  constructor(canvas, recording) {
    this.context = canvas.getContext("2d");
    Object.assign(this, { canvas, recording, name: "canvas" });
    this.order = Array.from({ length: recording.particles }, (_, p) => p);
  }

  colour(colouring, dark) {
    this.colouring = colouring;
    this.styles = colouring.shades(dark).map((shade) => `rgb(${shade.join(" ")})`);
  }

  seen(at, particle, matrix) {
    const world = this.recording.world(at, particle);
    return world && project(matrix, world, this.canvas.width, this.canvas.height);
  }

  draw({ at, matrix, size, trail, edge, ratio }) {
    const { context, recording, colouring, styles } = this;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const frame = Math.floor(at);
    const style = (p) => styles[colouring.index(frame, p, recording.particles)];
    const points = this.order.map((p) => this.seen(at, p, matrix));
    // A line for every neuron costs too much where they are thousands.
    const length = Math.min(trail, frame, Math.floor(8000 / recording.particles));
    context.lineWidth = ratio;
    context.globalAlpha = 0.35;
    for (const p of length ? this.order : []) {
      context.strokeStyle = style(p);
      context.beginPath();
      for (let back = length; back >= 0; back--) {
        const seen = back ? this.seen(frame - back, p, matrix) : points[p];
        if (seen && seen.w > 0) context.lineTo(seen.x, seen.y);
      }
      context.stroke();
    }
    context.globalAlpha = 1;
    context.strokeStyle = `rgb(${edge.join(" ")} / 75%)`;
    const far = [...this.order].filter((p) => points[p] && points[p].w > 0).sort((a, b) => points[b].w - points[a].w);
    for (const p of far) {
      const { x, y, w } = points[p];
      context.fillStyle = style(p);
      context.beginPath();
      context.arc(x, y, (2.2 * size * ratio) / w, 0, 7);
      context.fill();
      context.stroke();
    }
  }
}
