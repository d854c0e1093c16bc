import {
  elementBytes,
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
  zeros,
} from '../../formats/tflite/graph.js';
import { logTable, RealTransform } from '../../signal/microfrontend.js';
import { SampleTransform } from '../../signal/sample-transform.js';
import { cTypeOf, type Helper, type Piece, pieceOf, type Site, type SiteOf, table } from './piece.js';

/**
 * C code of TFLite Micro's audio front end, like the kernels in runtime/interpreter/custom.ts. States are variables of the generated code,
 * which `withMemory` adds to the operators' inputs where files do not contain them.
 */
/** Arithmetic of a transform: fractions of 15 or 31 bits, or float. */
type Fraction = 15 | 31 | 'Real';

/** C type of values, and C text of their sums and differences, which wrap. */
function arithmeticOf(kind: Fraction) {
  if (kind === 'Real')
    return {
      type: 'float',
      add: (a: string, b: string) => `${a} + ${b}`,
      subtract: (a: string, b: string) => `${a} - ${b}`,
      negate: (a: string) => `-(${a})`,
    };
  return {
    type: `int${kind + 1}_t`,
    add: (a: string, b: string) => `wrapped${kind}((int64_t)${a} + ${b})`,
    subtract: (a: string, b: string) => `wrapped${kind}((int64_t)${a} - ${b})`,
    negate: (a: string) => `wrapped${kind}(-(int64_t)${a})`,
  };
}

/** Products and sums of pairs. Those of float are rounded after each operation. */
function pairsText(kind: Fraction): string {
  const { type } = arithmeticOf(kind);
  if (kind === 'Real')
    return `/* The pair x, rotated. Each product is rounded before it is added. */
static inline void rotatedReal(float re, float im, const float *by, float *to) {
  const float a = re * by[0], b = im * by[1], c = re * by[1], d = im * by[0];
  to[0] = a - b;
  to[1] = c + d;
}

/* Only integers are divided before they are added. */
static inline void shrunkReal(const float *x, int by, float *to) {
  (void)by;
  to[0] = x[0];
  to[1] = x[1];
}`;
  return `static inline ${type} wrapped${kind}(int64_t x) {
  return (${type})(u${type})(uint64_t)x;
}

/* Product of two fractions, rounded. */
static inline ${type} narrowed${kind}(int64_t x) {
  return wrapped${kind}((x + ((int64_t)1 << ${kind - 1})) >> ${kind});
}

/* The pair x, rotated. */
static inline void rotated${kind}(${type} re, ${type} im, const ${type} *by, ${type} *to) {
  to[0] = narrowed${kind}((int64_t)re * by[0] - (int64_t)im * by[1]);
  to[1] = narrowed${kind}((int64_t)re * by[1] + (int64_t)im * by[0]);
}

/* The pair at x, divided by the number of pairs that are added. */
static inline void shrunk${kind}(const ${type} *x, int by, ${type} *to) {
  const int64_t share = ${2 ** kind - 1} / by;
  to[0] = narrowed${kind}(x[0] * share);
  to[1] = narrowed${kind}(x[1] * share);
}`;
}

/** Steps of a complex transform, like `SampleTransform`, from pairs that are in order in y. */
function stepsText(kind: Fraction): string {
  const { type, add, subtract, negate } = arithmeticOf(kind);
  return `${pairsText(kind)}

static void join_two${kind}(${type} *y, int part, const ${type} *turn) {
  ${type} a[2], b[2];
  shrunk${kind}(y, 2, a);
  shrunk${kind}(y + 2 * part, 2, b);
  rotated${kind}(b[0], b[1], turn, b);
  for (int i = 0; i < 2; i++) {
    y[2 * part + i] = ${subtract('a[i]', 'b[i]')};
    y[i] = ${add('a[i]', 'b[i]')};
  }
}

static void join_four${kind}(${type} *y, int part, int turn, const ${type} *inner, int inverse) {
  ${type} x[4][2], even[2], odd[2], sum[2], difference[2];
  for (int q = 0; q < 4; q++) {
    shrunk${kind}(y + 2 * q * part, 4, x[q]);
    if (q > 0) {
      const ${type} re = x[q][0], im = x[q][1];
      rotated${kind}(re, im, inner + 2 * turn * q, x[q]);
    }
  }
  for (int i = 0; i < 2; i++) {
    even[i] = ${add('x[0][i]', 'x[2][i]')};
    odd[i] = ${subtract('x[0][i]', 'x[2][i]')};
    sum[i] = ${add('x[1][i]', 'x[3][i]')};
    difference[i] = ${subtract('x[1][i]', 'x[3][i]')};
    y[i] = ${add('even[i]', 'sum[i]')};
    y[4 * part + i] = ${subtract('even[i]', 'sum[i]')};
  }
  ${type} *const b = y + (inverse ? 6 : 2) * part, *const d = y + (inverse ? 2 : 6) * part;
  b[0] = ${add('odd[0]', 'difference[1]')};
  b[1] = ${subtract('odd[1]', 'difference[0]')};
  d[0] = ${subtract('odd[0]', 'difference[1]')};
  d[1] = ${add('odd[1]', 'difference[0]')};
}

static void join_all${kind}(${type} *y, int half, const ${type} *inner, int inverse) {
  int first = 1, part = 1;
  while (first * 4 <= half) first *= 4;
  if (first < half) {
    for (int to = 0; to < half; to += 2) join_two${kind}(y + 2 * to, 1, inner);
    part = 2;
  }
  for (; part < half; part *= 4)
    for (int to = 0; to < half; to += 4 * part)
      for (int i = 0; i < part; i++) join_four${kind}(y + 2 * (to + i), part, i * (half / part / 4), inner, inverse);
}

/* The sum of pair k of x and the conjugate of its mirror image, and their difference, rotated. */
static void crossed${kind}(const ${type} *x, int k, int half, const ${type} *outer, ${type} *sum, ${type} *turned_by) {
  const ${type} mirror[2] = {x[2 * (half - k)], ${negate('x[2 * (half - k) + 1]')}};
  ${type} a[2], b[2];
  shrunk${kind}(x + 2 * k, 2, a);
  shrunk${kind}(mirror, 2, b);
  rotated${kind}(${subtract('a[0]', 'b[0]')}, ${subtract('a[1]', 'b[1]')}, outer + 2 * (k - 1), turned_by);
  sum[0] = ${add('a[0]', 'b[0]')};
  sum[1] = ${add('a[1]', 'b[1]')};
}`;
}

function inverseText(kind: Fraction): string {
  const { type, add, subtract, negate } = arithmeticOf(kind);
  return `/* 2 * half real values of half + 1 pairs${kind === 'Real' ? ', times their number' : ''}. */
static void inverse${kind}(const ${type} *x, ${type} *y, int half, const ${type} *inner, const ${type} *outer) {
  for (int to = 0; to < half; to++) {
    const int from = origin(to, half);
    const int mirrored = from >= (half + 1) / 2;
    ${type} sum[2], turn[2];
    if (from == 0) {
      const ${type} ends[2] = {${add('x[0]', 'x[2 * half]')}, ${subtract('x[0]', 'x[2 * half]')}};
      shrunk${kind}(ends, 2, y + 2 * to);
      continue;
    }
    crossed${kind}(x, mirrored ? half - from : from, half, outer, sum, turn);
    y[2 * to] = mirrored ? ${subtract('sum[0]', 'turn[0]')} : ${add('sum[0]', 'turn[0]')};
    y[2 * to + 1] = mirrored ? ${negate(subtract('sum[1]', 'turn[1]'))} : ${add('sum[1]', 'turn[1]')};
  }
  join_all${kind}(y, half, inner, 1);
}`;
}

/** A transform of int32 or float. The results of int32 are halved with a shift, those of float exactly. */
function forwardText(kind: 31 | 'Real'): string {
  const { type, add, subtract } = arithmeticOf(kind);
  const halved = (text: string) => (kind === 'Real' ? `(${text}) * 0.5f` : `${text} >> 1`);
  return `/* half + 1 pairs of 2 * half real values, of which \`size\` are not 0. */
static void forward${kind}(const ${type} *x, int size, ${type} *y, int half, const ${type} *inner, const ${type} *outer) {
  for (int to = 0; to < half; to++) {
    const int from = 2 * origin(to, half);
    y[2 * to] = from < size ? x[from] : 0;
    y[2 * to + 1] = from + 1 < size ? x[from + 1] : 0;
  }
  join_all${kind}(y, half, inner, 0);
  ${type} first[2];
  shrunk${kind}(y, 2, first);
  y[0] = ${add('first[0]', 'first[1]')};
  y[2 * half] = ${subtract('first[0]', 'first[1]')};
  y[1] = y[2 * half + 1] = 0;
  for (int k = 1; k <= half / 2; k++) {
    ${type} *const a = y + 2 * k, *const b = y + 2 * (half - k), sum[2], turn[2];
    crossed${kind}(y, k, half, outer, sum, turn);
    a[0] = ${halved(add('sum[0]', 'turn[0]'))};
    a[1] = ${halved(add('sum[1]', 'turn[1]'))};
    b[0] = ${halved(subtract('sum[0]', 'turn[0]'))};
    b[1] = ${halved(subtract('turn[1]', 'sum[1]'))};
  }
}`;
}

export const frontEndHelpers = {
  wrapped: `static inline int16_t wrapped(int32_t value) {
  return (int16_t)(uint16_t)(uint32_t)value;
}`,
  bitsOf: `/* Number of bits of x; 0 for 0. */
static inline int bits_of(uint32_t x) {
  int bits = 0;
  for (; x > 0; x >>= 1) bits++;
  return bits;
}`,
  origin: `/* Position of the pair that a transform by steps of four and two first places at \`to\`. */
static int origin(int to, int half) {
  int from = 0;
  for (int part = half, rest = to, stride = 1; part > 1;) {
    const int factor = part % 4 == 0 ? 4 : 2;
    part /= factor;
    from += rest / part * stride;
    rest %= part;
    stride *= factor;
  }
  return from;
}`,
  fourier: `/* Product of two fractions of 15 bits, rounded. */
static inline int32_t fraction(int32_t a, int32_t b) {
  return (a * b + 16384) >> 15;
}

/* y[at] and y[at + 1], shrunk by \`by\` and turned by the rotation at r. */
static inline void turned(const int16_t *y, int32_t by, const int16_t *r, int32_t *re, int32_t *im) {
  const int32_t a = fraction(y[0], by), b = fraction(y[1], by);
  *re = wrapped((a * r[0] - b * r[1] + 16384) >> 15);
  *im = wrapped((a * r[1] + b * r[0] + 16384) >> 15);
}

static void join_two(int16_t *a, int part, int stride, const int16_t *inner) {
  for (int i = 0; i < part; i++, a += 2) {
    int16_t *const b = a + 2 * part;
    const int32_t re = fraction(a[0], 16383), im = fraction(a[1], 16383);
    int32_t c, d;
    turned(b, 16383, inner + 2 * i * stride, &c, &d);
    b[0] = wrapped(re - c);
    b[1] = wrapped(im - d);
    a[0] = wrapped(re + c);
    a[1] = wrapped(im + d);
  }
}

static void join_four(int16_t *a, int part, int stride, const int16_t *inner) {
  for (int i = 0; i < part; i++, a += 2) {
    int32_t re[4], im[4];
    re[0] = fraction(a[0], 8191);
    im[0] = fraction(a[1], 8191);
    for (int q = 1; q < 4; q++) turned(a + 2 * q * part, 8191, inner + 2 * i * stride * q, &re[q], &im[q]);
    const int32_t even_re = wrapped(re[0] + re[2]), even_im = wrapped(im[0] + im[2]);
    const int32_t odd_re = wrapped(re[0] - re[2]), odd_im = wrapped(im[0] - im[2]);
    const int32_t sum_re = wrapped(re[1] + re[3]), sum_im = wrapped(im[1] + im[3]);
    const int32_t dif_re = wrapped(re[1] - re[3]), dif_im = wrapped(im[1] - im[3]);
    a[0] = wrapped(even_re + sum_re);
    a[1] = wrapped(even_im + sum_im);
    a[2 * part] = wrapped(odd_re + dif_im);
    a[2 * part + 1] = wrapped(odd_im - dif_re);
    a[4 * part] = wrapped(even_re - sum_re);
    a[4 * part + 1] = wrapped(even_im - sum_im);
    a[6 * part] = wrapped(odd_re - dif_im);
    a[6 * part + 1] = wrapped(odd_im + dif_re);
  }
}

/*
 * A Fourier transform of 2 * half real values, of which \`size\` are not 0, in y: half + 1 complex values. It transforms half as many
 * complex values, by steps of four and, at the innermost level, of two where needed.
 */
static void fourier(const int16_t *x, int size, int16_t *y, int half, const int16_t *inner, const int16_t *outer) {
  int first = 1;
  for (int to = 0; to < half; to++) {
    const int from = 2 * origin(to, half);
    y[2 * to] = from < size ? x[from] : 0;
    y[2 * to + 1] = from + 1 < size ? x[from + 1] : 0;
  }
  while (first * 4 <= half) first *= 4;
  int part = 1;
  if (first < half) {
    for (int to = 0; to < half; to += 2) join_two(y + 2 * to, 1, half / 2, inner);
    part = 2;
  }
  for (; part < half; part *= 4)
    for (int to = 0; to < half; to += 4 * part) join_four(y + 2 * to, part, half / part / 4, inner);
  const int32_t sum = fraction(y[0], 16383), other = fraction(y[1], 16383);
  y[0] = wrapped(sum + other);
  y[2 * half] = wrapped(sum - other);
  y[1] = y[2 * half + 1] = 0;
  for (int k = 1; k <= half / 2; k++) {
    int16_t *const a = y + 2 * k, *const b = y + 2 * (half - k);
    const int32_t ar = fraction(a[0], 16383), ai = fraction(a[1], 16383);
    const int32_t br = fraction(b[0], 16383), bi = fraction(wrapped(-b[1]), 16383);
    const int32_t sum_re = wrapped(ar + br), sum_im = wrapped(ai + bi), dif_re = wrapped(ar - br), dif_im = wrapped(ai - bi);
    const int32_t c = outer[2 * (k - 1)], s = outer[2 * (k - 1) + 1];
    const int32_t re = wrapped((dif_re * c - dif_im * s + 16384) >> 15), im = wrapped((dif_re * s + dif_im * c + 16384) >> 15);
    a[0] = wrapped((sum_re + re) >> 1);
    a[1] = wrapped((sum_im + im) >> 1);
    b[0] = wrapped((sum_re - re) >> 1);
    b[1] = wrapped((im - sum_im) >> 1);
  }
}`,
  steps15: stepsText(15),
  steps31: stepsText(31),
  stepsReal: stepsText('Real'),
  inverse15: inverseText(15),
  inverse31: inverseText(31),
  inverseReal: inverseText('Real'),
  forward31: forwardText(31),
  forwardReal: forwardText('Real'),
  weightedSum: `static uint64_t weighted_sum(const uint32_t *x, const int16_t *weights, int count) {
  uint64_t sum = 0;
  for (int k = 0; k < count; k++) sum += (uint64_t)(int64_t)weights[k] * x[k];
  return sum;
}`,
  root: `/* Square root, rounded to the nearest integer that has half as many bits. */
static uint32_t rounded_root(uint64_t x) {
  uint64_t rest = x, root = 0;
  for (uint64_t bit = (uint64_t)1 << 62; bit > 0; bit >>= 2) {
    if (rest >= root + bit) {
      rest -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  const uint64_t most = x >> 32 == 0 ? UINT16_MAX : UINT32_MAX;
  return (uint32_t)(rest > root && root < most ? root + 1 : root);
}`,
  gain: `/* Gain for a noise estimate x, interpolated between entries whose distance doubles. */
static int32_t gain_of(uint32_t x, const int16_t *table) {
  if (x <= 2) return table[x];
  const int bits = bits_of(x);
  const int16_t *const own = table + 4 * bits - 6;
  const int32_t part = (int32_t)((bits < 11 ? x << (11 - bits) : x >> (bits - 11)) & 0x3ff);
  const int32_t slope = (own[2] * part >> 5) + own[1] * 32;
  return wrapped(((int32_t)((uint32_t)slope * (uint32_t)part + 16384u) >> 15) + own[0]);
}

/* A ratio with 12 bits of fraction as a level with 6 bits: x * x / 4 below 2, and x - 1 above. */
static uint32_t shrunk(uint32_t ratio) {
  return ratio < 8192 ? ratio * ratio >> 20 : (ratio >> 6) - 64;
}`,
  logarithm: `/* The difference between log2(1 + x) and x in steps of 1/128, with 16 bits of fraction. */
${table('uint16_t', 'logarithms', logTable)}

/* Natural logarithm of an integer above 1, times an integer scale. */
static uint32_t scaled_logarithm(uint32_t x, uint32_t scale) {
  const int whole = bits_of(x) - 1;
  const uint32_t rest = x - ((uint32_t)1 << whole);
  const int32_t part = (int32_t)(whole < 16 ? rest << (16 - whole) : rest >> (whole - 16));
  const int32_t segment = part >> 9, low = logarithms[segment], high = logarithms[segment + 1];
  const int32_t more = part + low + ((high - low) * (part - 512 * segment) >> 16);
  const uint64_t log2 = (uint64_t)whole * 65536 + (uint64_t)more;
  /* 45426 is ln 2 with 16 bits of fraction. */
  const uint32_t natural = (uint32_t)((45426 * log2 + 32768) >> 16);
  return (natural * scale + 32768u) >> 16;
}`,
} as const;

/** Operators with a second output, which is a part of their state. */
const seconds: ReadonlySet<string> = new Set(['SIGNAL_FRAMER', 'SIGNAL_FFT_AUTO_SCALE', 'SIGNAL_STACKER']);

/** Whether a run may leave elements of the first output unchanged. */
function isPartial({ op, options }: Operator, output: Tensor): boolean {
  if (op === 'SIGNAL_FRAMER') return !options.prefill && options.frameStep < options.frameSize;
  if (op === 'SIGNAL_STACKER') return options.stackerRightContext > 0 || options.stackerStep > 1;
  return op === 'SIGNAL_ENERGY' && (options.startIndex > 0 || options.endIndex < output.shape[0]!);
}

/** The graph with variables for second outputs, and for first outputs that keep their values, as the last inputs of their operators. */
export function withMemory(graph: Graph): Graph {
  const tensors = [...graph.tensors];
  const operators = graph.operators.map((operator) => {
    const added = operator.outputs.filter((index, place) =>
      place === 0 ? isPartial(operator, graph.tensors[index]!) : seconds.has(operator.op),
    );
    // The second output comes first, because every operator of its kind has it.
    const inputs = added.reverse().map((index) => {
      const { type, shape } = graph.tensors[index]!;
      return tensors.push({ name: '', type, shape, variable: zeros({ name: '', type, shape }) }) - 1;
    });
    return { ...operator, inputs: [...operator.inputs, ...inputs] } as Operator;
  });
  return { ...graph, tensors, operators };
}

const bytesOf = ({ shape, type }: Tensor) => elementCount(shape) * elementBytes(type);

/** The variable at a position of the inputs; undefined if the operator does not need it. */
function variableAt({ operator }: Site, place: number): string | undefined {
  const index = operator.inputs[place];
  return index === undefined ? undefined : `variable${index}`;
}

/** A piece that copies a variable to the second output. */
function secondOf(site: Site, place: number): Piece {
  const tensor = site.input(place);
  const source = variableAt(site, place)!;
  return pieceOf(site, {
    inputs: [],
    output: site.operator.outputs[1]!,
    body:
      bytesOf(tensor) === elementBytes(tensor.type)
        ? `*y = *${source};`
        : `memcpy(y, ${source}, ${bytesOf(tensor)});`,
    about: 'second output',
  });
}

/** Copies the values that persist to the output. */
const copied = (site: Site, kept: string | undefined) =>
  kept === undefined ? '' : `\nmemcpy(y, ${kept}, ${bytesOf(site.output)});`;

function framer(site: SiteOf<'SIGNAL_FRAMER'>): Piece[] {
  const { frameSize: size, frameStep: step, prefill } = site.options;
  const { shape } = site.input(0);
  const [length, [rows, capacity]] = [shape.at(-1) ?? 1, site.input(1).shape as [number, number]];
  const [history, filled, complete, kept] = [1, 2, 3, 4].map((place) => variableAt(site, place));
  const zeroes = prefill ? size - step : 0;
  const frames = length / step;
  const body = `int count = 0;
*${complete} = 1;
for (int row = 0; row < ${rows}; row++) {
  int16_t *const history = ${history} + row * ${capacity};
  count = *${filled} + ${zeroes};
  for (int frame = 0; frame < ${frames}; frame++, x += ${step}) {
    memcpy(history + count, x, ${2 * step});
    count += ${step};
    if (count < ${size}) {
      *${complete} = 0;
      continue;
    }
    memcpy(${kept ?? 'y'} + (row * ${frames} + frame) * ${size}, history, ${2 * size});
    count -= ${step};
    memmove(history, history + ${step}, (size_t)count * sizeof *history);
  }
}
*${filled} = count - ${zeroes};${copied(site, kept)}`;
  return [pieceOf(site, { body, about: `${size} samples every ${step}` }), secondOf(site, 3)];
}

function stacker(site: SiteOf<'SIGNAL_STACKER'>): Piece[] {
  const { numChannels: channels, stackerLeftContext: left, stackerStep } = site.options;
  const [history, state, complete, kept] = [1, 2, 3, 4].map((place) => variableAt(site, place));
  const size = elementCount(site.input(1).shape);
  const step = channels * stackerStep;
  const body = `for (int copies = ${state}[1] == 0 ? ${left + 1} : 1; copies > 0; copies--) {
  memcpy(${history} + ${state}[0], x, ${2 * channels});
  ${state}[0] += ${channels};
}
${state}[1] = 1;
*${complete} = ${state}[0] >= ${size};
if (*${complete}) {
  memcpy(${kept ?? 'y'}, ${history}, ${2 * size});
  ${state}[0] -= ${step};
  memmove(${history}, ${history} + ${step}, (size_t)${state}[0] * sizeof *${history});
}${copied(site, kept)}`;
  return [
    pieceOf(site, { body, about: `${size / channels} frames every ${stackerStep}` }),
    secondOf(site, 3),
  ];
}

function window(site: SiteOf<'SIGNAL_WINDOW'>): Piece {
  const weights = site.input(1).data as Int16Array;
  const [count, size, name] = [elementCount(site.output.shape), weights.length, site.own('weights')];
  return pieceOf(site, {
    constants: [table('int16_t', name, weights)],
    helpers: ['clamped'],
    body: `for (int i = 0; i < ${count}; i++)
  y[i] = (int16_t)clamped((x[i] * ${name}[${count === size ? 'i' : `i % ${size}`}]) >> ${site.options.shift}, -32768, 32767);`,
    about: `${count} samples`,
  });
}

function autoScale(site: Site): Piece[] {
  const count = elementCount(site.output.shape);
  const bits = variableAt(site, 1);
  const body = `int32_t most = 0;
for (int i = 0; i < ${count}; i++) {
  /* The magnitude of -32768 wraps, as in TensorFlow Lite Micro. */
  if (x[i] > most) most = x[i];
  else if (-x[i] > most) most = wrapped(-x[i]);
}
const int used = most < 0 ? 32 : bits_of((uint32_t)most);
*${bits} = most == 0 || used > 15 ? 0 : 15 - used;
for (int i = 0; i < ${count}; i++) y[i] = wrapped((int32_t)((uint32_t)x[i] << *${bits}));`;
  return [
    pieceOf(site, { body, helpers: ['wrapped', 'bitsOf'], about: `${count} samples` }),
    secondOf(site, 1),
  ];
}

/** SIGNAL_RFFT of int32 and float32, and SIGNAL_IRFFT. TFLite Micro divides the samples of float32 by their number. */
function sampleTransform(site: SiteOf<'SIGNAL_RFFT'>): Piece {
  const { fftLength } = site.options;
  const { shape, type } = site.input(0);
  const size = shape.at(-1) ?? 1;
  const rows = elementCount(shape) / size;
  const inverse = site.operator.op === 'SIGNAL_IRFFT';
  const isReal = type === 'float32';
  const kind = isReal ? 'Real' : type === 'int16' ? 15 : 31;
  const { inner, outer } = new SampleTransform(type as 'int16', fftLength, inverse);
  const [first, second] = [site.own('inner'), site.own('outer')];
  const given = inverse ? fftLength : fftLength + 2;
  const call = inverse
    ? `inverse${kind}(x, y, ${fftLength / 2}, ${first}, ${second});`
    : `forward${kind as 31 | 'Real'}(x, ${size}, y, ${fftLength / 2}, ${first}, ${second});`;
  const divide = `\n  for (int i = 0; i < ${given}; i++) y[i] /= ${fftLength}.0f;`;
  const cType = cTypeOf(site.output);
  return pieceOf(site, {
    constants: [table(cType, first, inner), table(cType, second, outer)],
    helpers: ['origin', `steps${kind}`, inverse ? `inverse${kind}` : `forward${kind as 31 | 'Real'}`],
    body: `for (int row = 0; row < ${rows}; row++, x += ${size}, y += ${given}) {
  ${call}${isReal && inverse ? divide : ''}
}`,
    about: `${fftLength} samples`,
  });
}

function delay(site: SiteOf<'SIGNAL_DELAY'>): Piece {
  const { shape } = site.input(0);
  const { delayLength } = site.options;
  const size = shape.at(-1) ?? 1;
  const kept = Math.min(size, delayLength);
  const history = variableAt(site, 1);
  return pieceOf(site, {
    body: `for (int row = 0; row < ${elementCount(shape) / size}; row++, x += ${size}, y += ${size}) {
  int16_t *const history = ${history} + row * ${delayLength};
  memcpy(y, history, ${2 * kept});
  memcpy(y + ${kept}, x, ${2 * (size - kept)});
  memmove(history, history + ${kept}, ${2 * (delayLength - kept)});
  memcpy(history + ${delayLength - kept}, x + ${size - kept}, ${2 * kept});
}`,
    about: `${delayLength} samples`,
  });
}

function overlapAdd(site: SiteOf<'SIGNAL_OVERLAP_ADD'>): Piece {
  const { shape } = site.input(0);
  const { frameStep } = site.options;
  const [frames = 1, size = 1] = shape.slice(-2);
  const rest = size - frameStep;
  const [bytes, cType] = [elementBytes(site.output.type), cTypeOf(site.output)];
  const sum = cType === 'float' ? 'sums[i] + x[i]' : '(int16_t)clamped(sums[i] + x[i], -32768, 32767)';
  return pieceOf(site, {
    helpers: cType === 'float' ? [] : ['clamped'],
    body: `for (int row = 0; row < ${elementCount(shape) / size / frames}; row++) {
  ${cType} *const sums = ${variableAt(site, 1)} + row * ${size};
  for (int frame = 0; frame < ${frames}; frame++, x += ${size}, y += ${frameStep}) {
    for (int i = 0; i < ${size}; i++) sums[i] = ${sum};
    memcpy(y, sums, ${bytes * frameStep});
    memmove(sums, sums + ${frameStep}, ${bytes * rest});
    memset(sums + ${rest}, 0, ${bytes * frameStep});
  }
}`,
    about: `${size} samples every ${frameStep}`,
  });
}

function transform(site: SiteOf<'SIGNAL_RFFT'>): Piece {
  if (site.input(0).type !== 'int16') return sampleTransform(site);
  const { fftLength } = site.options;
  const { shape } = site.input(0);
  const size = shape.at(-1) ?? 1;
  const rows = elementCount(shape) / size;
  const { inner, outer } = new RealTransform(fftLength);
  const pairs = ({ re, im }: typeof inner) =>
    Int16Array.from({ length: 2 * re.length }, (_, i) => (i % 2 ? im : re)[i >> 1]!);
  const [first, second] = [site.own('inner'), site.own('outer')];
  return pieceOf(site, {
    constants: [table('int16_t', first, pairs(inner)), table('int16_t', second, pairs(outer))],
    helpers: ['wrapped', 'origin', 'fourier'],
    body: `for (int row = 0; row < ${rows}; row++, x += ${size}, y += ${fftLength + 2})
  fourier(x, ${size}, y, ${fftLength / 2}, ${first}, ${second});`,
    about: `${fftLength} samples`,
  });
}

function energy(site: SiteOf<'SIGNAL_ENERGY'>): Piece {
  const { startIndex, endIndex } = site.options;
  const kept = variableAt(site, 1);
  return pieceOf(site, {
    body: `for (int i = ${startIndex}; i < ${endIndex}; i++)
  ${kept ?? 'y'}[i] = (uint32_t)(x[2 * i] * x[2 * i]) + (uint32_t)(x[2 * i + 1] * x[2 * i + 1]);${copied(site, kept)}`,
    about: `bins from ${startIndex} to ${endIndex}`,
  });
}

function filterBank(site: SiteOf<'SIGNAL_FILTER_BANK'>): Piece {
  const { numChannels } = site.options;
  const [weights, unweights, bins, starts, widths] = [1, 2, 3, 4, 5].map(
    (place) => site.input(place).data as Int16Array,
  ) as [Int16Array, Int16Array, Int16Array, Int16Array, Int16Array];
  // A channel without weights has no place in the tables.
  const edges = Array.from({ length: numChannels + 1 }, (_, edge) => {
    const width = Math.max(0, widths[edge] ?? 0);
    return width === 0 ? [0, 0, 0] : [bins[edge]!, starts[edge]!, width];
  });
  const [rising, falling, own] = ['weights', 'unweights', 'edges'].map((name) => site.own(name));
  return pieceOf(site, {
    constants: [
      table('int16_t', rising!, weights),
      table('int16_t', falling!, unweights),
      table('int16_t', own!, edges.flat()),
    ],
    helpers: ['weightedSum'],
    body: `uint64_t rest = 0;
for (int edge = 0; edge <= ${numChannels}; edge++) {
  /* First bin, first weight, and the number of both. */
  const int16_t *const own = ${own} + 3 * edge;
  if (edge > 0) *y++ = rest + weighted_sum(x + own[0], ${rising} + own[1], own[2]);
  rest = weighted_sum(x + own[0], ${falling} + own[1], own[2]);
}`,
    about: `${numChannels} channels`,
  });
}

function squareRoots(site: Site): Piece {
  const count = elementCount(site.output.shape);
  return pieceOf(site, {
    inputs: site.operator.inputs,
    helpers: ['root'],
    body: `for (int i = 0; i < ${count}; i++) y[i] = rounded_root(x[i]) >> (x2[0] & 31);`,
    about: `${count} channels`,
  });
}

function spectralSubtraction(site: SiteOf<'SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION'>): Piece[] {
  const { options } = site;
  const noise = variableAt(site, 1);
  const body = `static const uint32_t fresh[2] = {${options.smoothing}, ${options.alternateSmoothing}};
static const uint32_t past[2] = {${options.oneMinusSmoothing}, ${options.alternateOneMinusSmoothing}};
for (int i = 0; i < ${options.numChannels}; i++) {
  const uint32_t signal = x[i], scaled = signal << ${options.smoothingBits};
  const uint64_t sum = (uint64_t)scaled * fresh[i % 2] + (uint64_t)${noise}[i] * past[i % 2];
  const uint32_t estimate = (uint32_t)(sum >> ${options.spectralSubtractionBits}), least = estimate < scaled ? estimate : scaled;
  ${noise}[i] = ${options.clamping ? 'least' : 'estimate'};
  const uint32_t rest = (scaled - least) >> ${options.smoothingBits};
  const uint32_t remaining = (uint32_t)((uint64_t)signal * ${options.minSignalRemaining}u >> ${options.spectralSubtractionBits});
  y[i] = rest > remaining ? rest : remaining;
}`;
  return [pieceOf(site, { body, about: `${options.numChannels} channels` }), secondOf(site, 1)];
}

function pcan(site: SiteOf<'SIGNAL_PCAN'>): Piece {
  const [count, name] = [elementCount(site.output.shape), site.own('gains')];
  return pieceOf(site, {
    inputs: site.operator.inputs.slice(0, 2),
    constants: [table('int16_t', name, site.input(2).data as Int16Array)],
    helpers: ['wrapped', 'bitsOf', 'gain'],
    body: `/* A gain below 0 becomes a large uint32. */
for (int i = 0; i < ${count}; i++)
  y[i] = shrunk((uint32_t)((uint64_t)x[i] * (uint32_t)gain_of(x2[i], ${name}) >> ${site.options.snrShift}));`,
    about: `${count} channels`,
  });
}

function logarithm(site: SiteOf<'SIGNAL_FILTER_BANK_LOG'>): Piece {
  const count = elementCount(site.output.shape);
  return pieceOf(site, {
    helpers: ['bitsOf', 'logarithm'],
    body: `for (int i = 0; i < ${count}; i++) {
  const uint32_t value = x[i] << ${site.options.inputCorrectionBits};
  const uint32_t logarithm = value > 1 ? scaled_logarithm(value, ${site.options.outputScale}u) : 0;
  y[i] = (int16_t)(logarithm > INT16_MAX ? INT16_MAX : logarithm);
}`,
    about: `${count} channels`,
  });
}

export const frontEndMakers = {
  SIGNAL_FRAMER: framer,
  SIGNAL_WINDOW: window,
  SIGNAL_FFT_AUTO_SCALE: autoScale,
  SIGNAL_RFFT: transform,
  SIGNAL_IRFFT: sampleTransform,
  SIGNAL_DELAY: delay,
  SIGNAL_OVERLAP_ADD: overlapAdd,
  SIGNAL_ENERGY: energy,
  SIGNAL_FILTER_BANK: filterBank,
  SIGNAL_FILTER_BANK_SQUARE_ROOT: squareRoots,
  SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION: spectralSubtraction,
  SIGNAL_PCAN: pcan,
  SIGNAL_FILTER_BANK_LOG: logarithm,
  SIGNAL_STACKER: stacker,
};

/** The helpers of this file, in the order in which they call each other. */
export const frontEndOrder = Object.keys(frontEndHelpers) as Helper[];
