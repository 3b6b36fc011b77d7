// A camera that turns around a point: angles in radians, matrices in columns as WebGL wants them.

const VIEW_ANGLE = 0.6;

class Camera {
  // `half` are half the sides of the box that holds everything, in the cube's units.
  constructor(half) {
    this.half = half;
    this.reset(1);
  }

  // Look from the front and a little above, from as near as the whole box allows.
  reset(aspect) {
    const flat = this.half[2] === 0;
    this.turn = flat ? 0 : 0.6;
    this.rise = flat ? 0 : 0.35;
    this.target = [0, 0, 0];
    for (this.distance = 2; this.distance < 12; this.distance *= 1.03) {
      const seen = corners(this.half).map((corner) => project(this.matrix(aspect), corner, 2, 2));
      if (seen.every(({ x, y, w }) => w > 0 && Math.abs(x - 1) < 0.8 && Math.abs(y - 1) < 0.8)) return;
    }
  }

  rotate(turn, rise) {
    this.turn += turn;
    this.rise = Math.max(-1.55, Math.min(1.55, this.rise + rise));
  }

  zoom(factor) {
    this.distance = Math.max(0.2, Math.min(40, this.distance * factor));
  }

  // Move sideways, in shares of the view's height.
  shift(x, y) {
    const { right, up } = this.directions();
    const size = 2 * this.distance * Math.tan(VIEW_ANGLE / 2);
    this.target = this.target.map((value, i) => value - size * (x * right[i] - y * up[i]));
  }

  directions() {
    const [st, ct, sr, cr] = [Math.sin(this.turn), Math.cos(this.turn), Math.sin(this.rise), Math.cos(this.rise)];
    return { right: [ct, 0, -st], up: [-st * sr, cr, -ct * sr], back: [st * cr, sr, ct * cr] };
  }

  // Projection times view, 16 numbers.
  matrix(aspect) {
    const { right, up, back } = this.directions();
    const eye = this.target.map((value, i) => value + this.distance * back[i]);
    const dot = (a) => a.reduce((sum, value, i) => sum + value * eye[i], 0);
    const f = 1 / Math.tan(VIEW_ANGLE / 2) / Math.min(1, aspect);
    const [near, far] = [this.distance * 0.01, this.distance + 10];
    const [depth, offset] = [(far + near) / (near - far), (2 * far * near) / (near - far)];
    const m = [];
    for (let i = 0; i < 3; i++) m.push((f / aspect) * right[i], f * up[i], depth * back[i], -back[i]);
    m.push((-f / aspect) * dot(right), -f * dot(up), -depth * dot(back) + offset, dot(back));
    return m;
  }
}

// The eight corners of a box around the origin; bit k of a corner's number says on which side of axis k it is.
function corners(half) {
  return Array.from({ length: 8 }, (_, i) => half.map((value, axis) => (i & (1 << axis) ? value : -value)));
}

// Where a point of the cube's units falls in a picture of width x height: x, y, and w, the distance.
function project(m, point, width, height) {
  const [x, y, z] = point;
  const w = m[3] * x + m[7] * y + m[11] * z + m[15];
  const across = (m[0] * x + m[4] * y + m[8] * z + m[12]) / w;
  const above = (m[1] * x + m[5] * y + m[9] * z + m[13]) / w;
  return { x: (0.5 + across / 2) * width, y: (0.5 - above / 2) * height, w };
}
