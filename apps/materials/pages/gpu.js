// What lies on the graphics card: the shader, a material's maps, an environment's light.

const VERTEX = `#version 300 es
precision highp float;
in vec2 corner;
uniform mat4 camera;
uniform bool ball;
uniform float tiles, relief;
uniform sampler2D surface;
out vec3 place, outwards, along, downwards;
out vec2 uv;
out float stretch;
const float PI = 3.14159265359;

void main() {
  uv = ball ? corner * vec2(4.0, 2.0) : corner * tiles;
  float height = textureLod(surface, uv, 0.0).r - 0.5;
  if (ball) {
    float latitude = PI * corner.y, longitude = 2.0 * PI * corner.x;
    outwards = vec3(-sin(latitude) * sin(longitude), cos(latitude), -sin(latitude) * cos(longitude));
    along = vec3(-cos(longitude), 0.0, sin(longitude));
    downwards = vec3(-cos(latitude) * sin(longitude), -sin(latitude), -cos(latitude) * cos(longitude));
    stretch = max(sin(latitude), 0.05);
    // Radius 0.45; a tile is a quarter of the equator.
    float tile = 0.45 * 2.0 * PI / 4.0;
    place = outwards * (0.45 + height * relief * tile * min(1.0, 8.0 * sin(latitude)));
  } else {
    outwards = vec3(0.0, 1.0, 0.0);
    along = vec3(1.0, 0.0, 0.0);
    downwards = vec3(0.0, 0.0, 1.0);
    stretch = 1.0;
    place = vec3(corner.x - 0.5, height * relief / tiles, corner.y - 0.5);
  }
  gl_Position = camera * vec4(place, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2DArray;
in vec3 place, outwards, along, downwards;
in vec2 uv;
in float stretch;
uniform vec3 eye;
uniform float relief, turn, texel;
uniform sampler2D surface, albedo, mirror, irradiance, reflectance;
uniform sampler2DArray lobes;
out vec4 color;
const float PI = 3.14159265359;

vec3 turned(vec3 d) {
  float c = cos(turn), s = sin(turn);
  return vec3(c * d.x - s * d.z, d.y, s * d.x + c * d.z);
}

// Column by azimuth, row by polar angle: the convention of Environment.
vec2 latlong(vec3 d) {
  return vec2(atan(d.x, -d.z) / (2.0 * PI), acos(clamp(d.y, -1.0, 1.0)) / PI);
}

vec3 reflected(vec3 d, float roughness) {
  vec2 at = latlong(d);
  float rows = float(textureSize(mirror, 0).y);
  vec3 sharp = textureLod(mirror, vec2(at.x, (at.y * (rows - 1.0) + 0.5) / rows), 0.0).rgb;
  float knots[6] = float[6](0.0, 0.2, 0.35, 0.5, 0.7, 1.0);
  vec3 below = sharp;
  for (int i = 1; i < 6; i++) {
    vec3 above = textureLod(lobes, vec3(at, float(i - 1)), 0.0).rgb;
    if (roughness <= knots[i])
      return mix(below, above, (roughness - knots[i - 1]) / (knots[i] - knots[i - 1]));
    below = above;
  }
  return below;
}

vec3 encoded(vec3 linear) {
  vec3 x = clamp(linear, 0.0, 1.0);
  return mix(12.92 * x, 1.055 * pow(x, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, x));
}

void main() {
  vec4 here = texture(surface, uv);
  float right = texture(surface, uv + vec2(texel, 0.0)).r - texture(surface, uv - vec2(texel, 0.0)).r;
  float down = texture(surface, uv + vec2(0.0, texel)).r - texture(surface, uv - vec2(0.0, texel)).r;
  vec2 slope = relief * vec2(right / stretch, down) / (2.0 * texel);
  vec3 n = normalize(normalize(outwards) - slope.x * normalize(along) - slope.y * normalize(downwards));
  vec3 v = normalize(eye - place);
  float facing = max(dot(n, v), 0.02);
  vec3 base = texture(albedo, uv).rgb;
  float roughness = here.g, metal = here.b, open = here.a;
  vec3 f0 = mix(vec3(0.04), base, metal);
  vec2 share = texture(reflectance, vec2(facing, roughness)).rg;
  vec3 diffuse = base * (1.0 - metal) * textureLod(irradiance, latlong(turned(n)), 0.0).rgb;
  vec3 mirrored = reflected(turned(reflect(-v, n)), roughness);
  // Cavities see less of the sky; a mirror shows it all the same where it faces out.
  float gloss = mix(1.0, open, min(1.0, 2.0 * roughness));
  color = vec4(encoded(diffuse * open + mirrored * (f0 * share.x + share.y) * gloss), 1.0);
}`;

export function program(gl) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return { program: made, at: (name) => gl.getUniformLocation(made, name) };
}

function filtered(gl, kind, across, down, smallest = gl.LINEAR) {
  gl.texParameteri(kind, gl.TEXTURE_WRAP_S, across);
  gl.texParameteri(kind, gl.TEXTURE_WRAP_T, down);
  gl.texParameteri(kind, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
  gl.texParameteri(kind, gl.TEXTURE_MIN_FILTER, smallest);
}

function halves(gl, channels, height, width, values, across, down) {
  const texture = gl.createTexture();
  const [inner, format] = {
    2: [gl.RG16F, gl.RG], 3: [gl.RGB16F, gl.RGB], 4: [gl.RGBA16F, gl.RGBA],
  }[channels];
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.texImage2D(gl.TEXTURE_2D, 0, inner, width, height, 0, format, gl.HALF_FLOAT, values);
  filtered(gl, gl.TEXTURE_2D, across, down);
  return texture;
}

function use(gl, shader, unit, name, kind, texture) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(kind, texture);
  gl.uniform1i(shader.at(name), unit);
}

// The maps: colour as sRGB with mipmaps; height, roughness, metalness, occlusion as half floats.
export class Material {
  constructor(gl, image, surface) {
    this.gl = gl;
    const values = new Uint16Array(surface);
    this.size = Math.round(Math.sqrt(values.length / 4));
    this.surface = halves(gl, 4, this.size, this.size, values, gl.REPEAT, gl.REPEAT);
    this.albedo = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.albedo);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.SRGB8_ALPHA8, gl.RGBA, gl.UNSIGNED_BYTE, image);
    gl.generateMipmap(gl.TEXTURE_2D);
    filtered(gl, gl.TEXTURE_2D, gl.REPEAT, gl.REPEAT, gl.LINEAR_MIPMAP_LINEAR);
    const sharper = gl.getExtension('EXT_texture_filter_anisotropic');
    if (sharper) gl.texParameterf(gl.TEXTURE_2D, sharper.TEXTURE_MAX_ANISOTROPY_EXT, 8);
  }

  bind(shader) {
    use(this.gl, shader, 0, 'surface', this.gl.TEXTURE_2D, this.surface);
    use(this.gl, shader, 1, 'albedo', this.gl.TEXTURE_2D, this.albedo);
  }

  free() {
    this.gl.deleteTexture(this.surface);
    this.gl.deleteTexture(this.albedo);
  }
}

// An environment as the server prepares it: head, mirror, five lobes, irradiance, table.
export class Light {
  constructor(gl, data) {
    this.gl = gl;
    const [height, width] = new Uint32Array(data, 0, 2);
    const values = new Uint16Array(data, 8);
    const [rows, columns, levels, table] = [32, 64, 5, 32];
    let at = 0;
    const next = (count) => values.subarray(at, at += count);
    this.mirror = halves(gl, 3, height, width, next(height * width * 3), gl.REPEAT, gl.CLAMP_TO_EDGE);
    this.lobes = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.lobes);
    gl.texImage3D(gl.TEXTURE_2D_ARRAY, 0, gl.RGB16F, columns, rows, levels, 0, gl.RGB,
      gl.HALF_FLOAT, next(levels * rows * columns * 3));
    filtered(gl, gl.TEXTURE_2D_ARRAY, gl.REPEAT, gl.CLAMP_TO_EDGE);
    this.irradiance = halves(gl, 3, rows, columns, next(rows * columns * 3), gl.REPEAT, gl.CLAMP_TO_EDGE);
    this.reflectance = halves(gl, 2, table, table, next(table * table * 2), gl.CLAMP_TO_EDGE, gl.CLAMP_TO_EDGE);
  }

  bind(shader) {
    const { gl } = this;
    use(gl, shader, 2, 'mirror', gl.TEXTURE_2D, this.mirror);
    use(gl, shader, 3, 'irradiance', gl.TEXTURE_2D, this.irradiance);
    use(gl, shader, 4, 'reflectance', gl.TEXTURE_2D, this.reflectance);
    use(gl, shader, 5, 'lobes', gl.TEXTURE_2D_ARRAY, this.lobes);
  }
}
