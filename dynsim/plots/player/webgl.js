// Drawing with WebGL: all frames lie in one buffer of the graphics card; a frame is an offset into it.

const VERTEX = `
attribute vec4 before, after;
attribute float shadeBefore, shadeAfter;
uniform mat4 matrix;
uniform vec3 low, range;
uniform float share, size;
varying float shade;
void main() {
  gl_Position = matrix * vec4(low + mix(before.xyz, after.xyz, share) * range, 1.0);
  if (before.w < 0.5 || (share > 0.0 && after.w < 0.5)) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size / gl_Position.w;
  shade = mix(shadeBefore, shadeAfter, share);
}`;

const FRAGMENT = `
precision mediump float;
uniform sampler2D colours;
uniform vec4 edge;
uniform float alpha, width;
varying float shade;
void main() {
  vec3 colour = texture2D(colours, vec2((shade * 255.0 + 0.5) / 256.0, 0.5)).rgb;
  if (width == 0.0) {
    gl_FragColor = vec4(colour * alpha, alpha);
    return;
  }
  float r = 2.0 * length(gl_PointCoord - 0.5);
  if (r > 1.0) discard;
  gl_FragColor = vec4(mix(colour, edge.rgb, smoothstep(1.0 - width, 1.0, r) * edge.a), 1.0);
}`;

class WebGLDrawing {
  // Throws where there is no WebGL.
  constructor(canvas, recording) {
    const gl = canvas.getContext("webgl", { antialias: true, premultipliedAlpha: true });
    if (!gl) throw new Error("no WebGL");
    Object.assign(this, { gl, recording, name: "WebGL" });
    this.program = this.link();
    gl.useProgram(this.program);
    this.places = this.buffer(gl.ARRAY_BUFFER, recording.words);
    const pairs = new Uint16Array(2 * recording.particles);
    for (let p = 0; p < recording.particles; p++) pairs.set([p, recording.particles + p], 2 * p);
    this.pairs = this.buffer(gl.ELEMENT_ARRAY_BUFFER, pairs);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    // A normalised word is word / 65535; the place is low + range word / 65534.
    const { low, range, middle, scale } = recording;
    gl.uniform3fv(this.uniform("low"), low.map((value, i) => (value - middle[i]) * scale));
    gl.uniform3fv(this.uniform("range"), range.map((value) => (value * scale * 65535) / STEPS));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  link() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    ["before", "after", "shadeBefore", "shadeAfter"].forEach((name, i) => gl.bindAttribLocation(program, i, name));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    return program;
  }

  buffer(kind, data) {
    const made = this.gl.createBuffer();
    this.gl.bindBuffer(kind, made);
    this.gl.bufferData(kind, data, this.gl.STATIC_DRAW);
    return made;
  }

  uniform(name) {
    return this.gl.getUniformLocation(this.program, name);
  }

  colour(colouring, dark) {
    const { gl, recording } = this;
    if (this.colouring !== colouring) {
      this.colouring = colouring;
      if (this.shades) gl.deleteBuffer(this.shades);
      // A fixed colour is stored twice, since a trail reaches from one frame into the next.
      const bytes = colouring.fixed ? new Uint8Array(2 * recording.particles) : colouring.bytes;
      if (colouring.fixed) [0, recording.particles].forEach((at) => bytes.set(colouring.fixed, at));
      this.shades = this.buffer(gl.ARRAY_BUFFER, bytes);
    }
    const texture = new Uint8Array(4 * 256);
    colouring.shades(dark).forEach((shade, i) => texture.set([...shade, 255], 4 * i));
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, texture);
  }

  // Let the attributes begin with frame `k`; `after` with the one behind it.
  point(k) {
    const { gl, recording } = this;
    const row = recording.particles;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.places);
    gl.vertexAttribPointer(0, 4, gl.UNSIGNED_SHORT, true, 8, 8 * k * row);
    gl.vertexAttribPointer(1, 4, gl.UNSIGNED_SHORT, true, 8, 8 * (k + 1) * row);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.shades);
    gl.vertexAttribPointer(2, 1, gl.UNSIGNED_BYTE, true, 1, this.colouring.fixed ? 0 : k * row);
    gl.vertexAttribPointer(3, 1, gl.UNSIGNED_BYTE, true, 1, this.colouring.fixed ? 0 : (k + 1) * row);
    for (let i = 0; i < 4; i++) gl.enableVertexAttribArray(i);
  }

  draw({ at, matrix, size, trail, edge, ratio }) {
    const { gl, recording } = this;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const frame = Math.floor(at);
    const share = at - frame;
    gl.uniformMatrix4fv(this.uniform("matrix"), false, matrix);
    gl.uniform1f(this.uniform("share"), share);
    gl.uniform4f(this.uniform("edge"), edge[0] / 255, edge[1] / 255, edge[2] / 255, 0.75);
    gl.disable(gl.DEPTH_TEST);
    gl.uniform1f(this.uniform("width"), 0);
    // Lines from frame to frame, all of them `share` of a frame ahead, so that a trail ends at its neuron.
    for (let back = Math.min(trail, frame); back > 0; back--) {
      this.point(frame - back);
      gl.uniform1f(this.uniform("alpha"), 0.55 * (1 - (back - 1) / (trail + 1)));
      gl.drawElements(gl.LINES, 2 * recording.particles, gl.UNSIGNED_SHORT, 0);
    }
    gl.enable(gl.DEPTH_TEST);
    this.point(frame);
    gl.uniform1f(this.uniform("width"), Math.min(0.5, 2.4 / size));
    gl.uniform1f(this.uniform("size"), 4.4 * size * ratio);
    gl.uniform1f(this.uniform("alpha"), 1);
    gl.drawArrays(gl.POINTS, 0, recording.particles);
  }
}
