// The 3D preview: a displaced plane or ball under image-based light, drawn with WebGL 2.
//
// It shades as the server's renderer does: GGX with alpha = roughness squared, F0 0.04, light of
// the same irradiance (see components/core/rendering/prefilter.py). Drawn only when it changes.

import { Light, Material, program } from './gpu.js';

const CELLS = 192;
const FIELD = 25 * Math.PI / 180;
// How far away the preview starts: the plane is seen slantwise.
const START = { plane: { yaw: 0.5, pitch: 0.85, distance: 3.0 }, sphere: { yaw: 0, pitch: 0.15, distance: 2.5 } };
const ABOVE = 0.5 / Math.tan(FIELD / 2); // from here the frame holds just the tile

class Preview {
  constructor(section) {
    this.section = section;
    this.canvas = section.querySelector('canvas');
    this.gl = this.canvas.getContext('webgl2', { alpha: true, antialias: true, preserveDrawingBuffer: true });
    this.view = { ...START.plane };
    this.set = { shape: 'plane', light: '', turn: 0, relief: 0.06, repeat: false };
    this.lights = new Map();
    if (!this.gl) {
      this.say('The 3D preview needs WebGL 2, which this browser does not offer.');
      return;
    }
    this.shader = program(this.gl);
    this.mesh = lattice(this.gl, this.shader);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  listen() {
    this.section.querySelectorAll('[data-set]').forEach((input) => {
      input.addEventListener('input', () => this.change(input));
    });
    const canvas = this.canvas;
    canvas.addEventListener('pointerdown', (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener('pointermove', (event) => {
      if (event.buttons) this.turn(-event.movementX * 0.01, event.movementY * 0.01);
    });
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 0.001));
    }, { passive: false });
    canvas.addEventListener('keydown', (event) => this.key(event));
  }

  key(event) {
    const step = 0.1;
    const moves = {
      ArrowLeft: () => this.turn(-step, 0), ArrowRight: () => this.turn(step, 0),
      ArrowUp: () => this.turn(0, step), ArrowDown: () => this.turn(0, -step),
      '+': () => this.zoom(0.9), '-': () => this.zoom(1.1), t: () => this.fromAbove(),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  change(input) {
    const name = input.dataset.set;
    if (input.type === 'checkbox') this.set[name] = input.checked;
    else if (input.type === 'range') this.set[name] = Number(input.value);
    else this.set[name] = input.value;
    if (name === 'shape') this.view = { ...START[this.set.shape] };
    if (name === 'light') this.light();
    else this.draw();
  }

  turn(yaw, pitch) {
    const { view } = this;
    view.yaw += yaw;
    const low = this.set.shape === 'sphere' ? -1.5 : 0.1;
    view.pitch = Math.min(Math.PI / 2, Math.max(low, view.pitch + pitch));
    this.draw();
  }

  zoom(factor) {
    this.view.distance = Math.min(8, Math.max(0.8, this.view.distance * factor));
    this.draw();
  }

  fromAbove() {
    this.view = { yaw: 0, pitch: Math.PI / 2, distance: ABOVE };
    this.draw();
  }

  // Shows a material by its id; the last one that was asked for wins.
  async show(id) {
    this.section.hidden = false;
    this.wanted = id;
    this.section.dataset.material = '';
    this.section.querySelectorAll('[data-file]').forEach((link) => {
      link.href = `api/materials/${id}/${link.dataset.file}`;
    });
    try {
      const about = await answer(`api/materials/${id}`, 'json');
      if (this.wanted !== id) return;
      const score = about.score === null ? '' : `, realism ${about.score.toFixed(3)}`;
      this.section.querySelector('.chosen').textContent =
        `${about.prompt}: seed ${about.seed}, ${about.by}${score}`;
      this.section.querySelector('canvas').setAttribute(
        'aria-label', `${about.prompt} in 3D. Arrow keys turn it, plus and minus zoom, t looks from above.`);
      if (!this.gl) return;
      const [albedo, surface] = await Promise.all([
        answer(`api/materials/${id}/albedo.png`, 'blob').then((blob) => createImageBitmap(blob)),
        answer(`api/materials/${id}/surface.bin`, 'arrayBuffer'),
      ]);
      if (this.wanted !== id) return;
      this.material?.free();
      this.material = new Material(this.gl, albedo, surface);
      if (!this.set.light) {
        this.set.light = about.light;
        this.section.querySelector('[data-set=light]').value = about.light;
      }
      await this.light();
      this.say('');
      this.section.dataset.material = id;
    } catch (error) {
      this.say(`The preview could not be loaded: ${error.message}`);
    }
  }

  async light() {
    const name = this.set.light;
    if (name && !this.lights.has(name)) {
      const data = await answer(`api/lights/${encodeURIComponent(name)}`, 'arrayBuffer');
      this.lights.set(name, new Light(this.gl, data));
    }
    this.draw();
    this.section.dataset.light = name;
  }

  say(words) {
    this.section.querySelector('.fault').textContent = words;
  }

  draw() {
    if (!this.gl || this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.paint();
    });
  }

  paint() {
    const { gl, canvas, shader, material, set } = this;
    const light = this.lights.get(set.light);
    if (!material || !light) return;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale].map(Math.round);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.useProgram(shader.program);
    const eye = eyeOf(this.view);
    gl.uniformMatrix4fv(shader.at('camera'), false, camera(eye, this.view, width / height));
    gl.uniform3fv(shader.at('eye'), eye);
    gl.uniform1i(shader.at('ball'), set.shape === 'sphere' ? 1 : 0);
    gl.uniform1f(shader.at('tiles'), set.repeat ? 2 : 1);
    gl.uniform1f(shader.at('relief'), set.relief);
    gl.uniform1f(shader.at('turn'), set.turn * Math.PI / 180);
    gl.uniform1f(shader.at('texel'), 1 / material.size);
    material.bind(shader);
    light.bind(shader);
    gl.bindVertexArray(this.mesh.array);
    gl.drawElements(gl.TRIANGLES, this.mesh.count, gl.UNSIGNED_INT, 0);
  }
}

async function answer(address, kind) {
  const response = await fetch(address);
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.detail || `the server answered ${response.status}`);
  }
  return response[kind]();
}

// A lattice of the unit square; the vertex shader makes a plane or a ball of it.
function lattice(gl, shader) {
  const corners = new Float32Array((CELLS + 1) ** 2 * 2);
  const indices = new Uint32Array(CELLS ** 2 * 6);
  let at = 0;
  for (let row = 0; row <= CELLS; row++) {
    for (let column = 0; column <= CELLS; column++) {
      corners[at++] = column / CELLS;
      corners[at++] = row / CELLS;
    }
  }
  at = 0;
  for (let row = 0; row < CELLS; row++) {
    for (let column = 0; column < CELLS; column++) {
      const a = row * (CELLS + 1) + column;
      const c = a + CELLS + 1;
      indices.set([a, c, a + 1, a + 1, c, c + 1], at);
      at += 6;
    }
  }
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, corners, gl.STATIC_DRAW);
  const corner = gl.getAttribLocation(shader.program, 'corner');
  gl.enableVertexAttribArray(corner);
  gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
  return { array, count: indices.length };
}

// World: y up, image right is +x, image down is +z; pitch 90 degrees looks straight down.
function eyeOf({ yaw, pitch, distance }) {
  return [
    distance * Math.cos(pitch) * Math.sin(yaw), distance * Math.sin(pitch),
    distance * Math.cos(pitch) * Math.cos(yaw),
  ];
}

// Perspective times view, column by column.
function camera(eye, { yaw, pitch, distance }, aspect) {
  const back = eye.map((x) => x / distance);
  const right = [Math.cos(yaw), 0, -Math.sin(yaw)];
  const up = [-Math.sin(pitch) * Math.sin(yaw), Math.cos(pitch), -Math.sin(pitch) * Math.cos(yaw)];
  const [near, far] = [0.05, 20];
  const focus = 1 / Math.tan(FIELD / 2) / Math.max(1, 1 / aspect);
  const dot = (a) => -(a[0] * eye[0] + a[1] * eye[1] + a[2] * eye[2]);
  const rows = [[...right, dot(right)], [...up, dot(up)], [...back, dot(back)]];
  const depth = (far + near) / (near - far);
  const out = new Float32Array(16);
  for (let i = 0; i < 4; i++) {
    out[4 * i] = focus / aspect * rows[0][i];
    out[4 * i + 1] = focus * rows[1][i];
    out[4 * i + 2] = depth * rows[2][i] + (i === 3 ? 2 * far * near / (near - far) : 0);
    out[4 * i + 3] = -rows[2][i];
  }
  return out;
}

let preview;
let newest = '';

function show(id) {
  const section = document.querySelector('section.preview');
  if (!section) return;
  if (preview?.section !== section) preview = new Preview(section);
  preview.show(id);
}

document.addEventListener('click', (event) => {
  const button = event.target.closest?.('button[data-show]');
  if (!button) return;
  show(button.dataset.material);
  document.querySelector('section.preview')?.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
});

// The first material of a new request is shown by itself.
new MutationObserver(() => {
  const first = document.querySelector('#result article[data-material]');
  if (!first || first.dataset.material === newest) return;
  newest = first.dataset.material;
  show(newest);
}).observe(document.documentElement, { childList: true, subtree: true });
