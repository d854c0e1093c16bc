import {
  type Code,
  f32,
  f32x4,
  get,
  i32,
  Kernel,
  type Lanes,
  type Local,
  loop,
  set,
} from '../../../runtime/compiled/assembler.js';

const step = (name: Local, by: Code): Code => set(name, i32.add(get(name), by));

/** Runs the body on four numbers at a time, then on the remaining numbers one by one; `at` counts bytes from 0. */
function overBytes(at: Local, bytes: Code, body: (lanes: Lanes) => Code): Code {
  return [
    ...set(at, i32.const(0)),
    ...loop(i32.less(i32.add(get(at), i32.const(12)), bytes), [...body(f32x4), ...step(at, i32.const(16))]),
    ...loop(i32.less(get(at), bytes), [...body(f32), ...step(at, i32.const(4))]),
  ];
}

function parametersOf(kernel: Kernel): Local[] {
  return kernel.parameters.map((_, index) => kernel.parameter(index));
}

const four = (value: Local): Code => i32.mul(get(value), i32.const(4));

/** x = min(max(x, low), high): clamp(x, count, low, high) */
export function clampAll(): Kernel {
  const kernel = new Kernel('clamp', ['i32', 'i32', 'f32', 'f32']);
  const [x, count, low, high] = parametersOf(kernel) as [Local, Local, Local, Local];
  const at = kernel.local('i32');
  kernel.write(
    overBytes(at, four(count), (l) => {
      const address = i32.add(get(x), get(at));
      const clamped = l.min(l.max(l.load(address), l.splat(get(low))), l.splat(get(high)));
      return l.store(address, clamped);
    }),
  );
  return kernel;
}

/** The gradient through a clamp, dy = low < y < high ? dy : 0: mask(dy, y, count, low, high) */
export function mask(): Kernel {
  const kernel = new Kernel('mask', ['i32', 'i32', 'i32', 'f32', 'f32']);
  const [dy, y, count, low, high] = parametersOf(kernel) as [Local, Local, Local, Local, Local];
  const at = kernel.local('i32');
  kernel.write(
    overBytes(at, four(count), (l) => {
      const address = i32.add(get(dy), get(at));
      const value = l.load(i32.add(get(y), get(at)));
      return l.store(address, l.within(value, l.splat(get(low)), l.splat(get(high)), l.load(address)));
    }),
  );
  return kernel;
}

/** to[c] += Σ rows from[r][c]: addRows(from, to, rows, columns) */
export function addRows(): Kernel {
  const kernel = new Kernel('addRows', ['i32', 'i32', 'i32', 'i32']);
  const [from, to, rows, columns] = parametersOf(kernel) as [Local, Local, Local, Local];
  const at = kernel.local('i32');
  kernel.write(
    loop(get(rows), [
      ...overBytes(at, four(columns), (l) => {
        const address = i32.add(get(to), get(at));
        return l.store(address, l.add(l.load(address), l.load(i32.add(get(from), get(at)))));
      }),
      ...step(from, four(columns)),
      ...step(rows, i32.const(-1)),
    ]),
  );
  return kernel;
}

/** Sets every row of `to` to `from`: fillRows(from, to, rows, columns) */
export function fillRows(): Kernel {
  const kernel = new Kernel('fillRows', ['i32', 'i32', 'i32', 'i32']);
  const [from, to, rows, columns] = parametersOf(kernel) as [Local, Local, Local, Local];
  const at = kernel.local('i32');
  kernel.write(
    loop(get(rows), [
      ...overBytes(at, four(columns), (l) =>
        l.store(i32.add(get(to), get(at)), l.load(i32.add(get(from), get(at)))),
      ),
      ...step(to, four(columns)),
      ...step(rows, i32.const(-1)),
    ]),
  );
  return kernel;
}

/**
 * One step of Adam over all parameters (Kingma and Ba, 2015, arXiv:1412.6980, algorithm 1), where c = 1 / (1 − βᵗ):
 *
 *     m = β₁m + (1 − β₁)g, v = β₂v + (1 − β₂)g², w −= rate · m·c₁ / (√(v·c₂) + ε)
 *
 *     adam(w, m, v, g, count, rate, β₁, β₂, ε, c₁, c₂)
 */
export function adam(): Kernel {
  const kernel = new Kernel('adam', [
    'i32',
    'i32',
    'i32',
    'i32',
    'i32',
    'f32',
    'f32',
    'f32',
    'f32',
    'f32',
    'f32',
  ]);
  const [w, m, v, g, count, rate, beta1, beta2, epsilon, c1, c2] = parametersOf(kernel) as [
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
  ];
  const at = kernel.local('i32');
  const one: Code = [0x43, 0, 0, 0x80, 0x3f];
  kernel.write(
    overBytes(at, four(count), (l) => {
      const place = (of: Local) => i32.add(get(of), get(at));
      const gradient = l.load(place(g));
      const mixed = (old: Code, beta: Local, value: Code) =>
        l.add(l.mul(l.splat(get(beta)), old), l.mul(l.splat(f32.sub(one, get(beta))), value));
      const root = l.sqrt(l.mul(l.load(place(v)), l.splat(get(c2))));
      const change = l.div(l.mul(l.load(place(m)), l.splat(get(c1))), l.add(root, l.splat(get(epsilon))));
      return [
        ...l.store(place(m), mixed(l.load(place(m)), beta1, gradient)),
        ...l.store(place(v), mixed(l.load(place(v)), beta2, l.mul(gradient, gradient))),
        ...l.store(place(w), l.sub(l.load(place(w)), l.mul(l.splat(get(rate)), change))),
      ];
    }),
  );
  return kernel;
}

/**
 * A kernel over the rows of a matrix: name(…moving, …fixed, rows, columns). `moving` addresses advance from row to row; `fixed` addresses
 * point to a vector with one number per column.
 */
function overRows(
  name: string,
  moving: number,
  fixed: number,
  body: (lanes: Lanes, at: (place: number) => Code) => Code,
): Kernel {
  const kernel = new Kernel(name, new Array<'i32'>(moving + fixed + 2).fill('i32'));
  const parameters = kernel.parameters.map((_, index) => kernel.parameter(index));
  const [rows, columns] = parameters.slice(-2) as [Local, Local];
  const [at, bytes] = [kernel.local('i32'), kernel.local('i32')];
  const address = (place: number) => i32.add(get(parameters[place]!), get(at));
  kernel.write(
    set(bytes, i32.mul(get(columns), i32.const(4))),
    loop(get(rows), [
      ...set(at, i32.const(0)),
      ...loop(i32.less(i32.add(get(at), i32.const(12)), get(bytes)), [
        ...body(f32x4, address),
        ...step(at, i32.const(16)),
      ]),
      ...loop(i32.less(get(at), get(bytes)), [...body(f32, address), ...step(at, i32.const(4))]),
      ...parameters.slice(0, moving).flatMap((row) => step(row, get(bytes))),
      ...step(rows, i32.const(-1)),
    ]),
  );
  return kernel;
}

/** sums += (x − mean)²: addSquares(x, mean, sums, rows, columns) */
export const addSquares = (): Kernel =>
  overRows('addSquares', 1, 2, (l, at) => {
    const away = l.sub(l.load(at(0)), l.load(at(1)));
    return l.store(at(2), l.add(l.load(at(2)), l.mul(away, away)));
  });

/** y = (x − mean) · factor + offset: normalize(x, y, mean, factor, offset, rows, columns) */
export const normalize = (): Kernel =>
  overRows('normalize', 2, 3, (l, at) => {
    const away = l.sub(l.load(at(0)), l.load(at(2)));
    return l.store(at(1), l.add(l.mul(away, l.load(at(3))), l.load(at(4))));
  });

/** sums += dy · (x − mean): addProducts(x, dy, mean, sums, rows, columns) */
export const addProducts = (): Kernel =>
  overRows('addProducts', 2, 2, (l, at) => {
    const away = l.sub(l.load(at(0)), l.load(at(2)));
    return l.store(at(3), l.add(l.load(at(3)), l.mul(l.load(at(1)), away)));
  });

/** dx += dy · a + (x − mean) · b + c: addNormGradient(x, dy, dx, mean, a, b, c, rows, columns) */
export const addNormGradient = (): Kernel =>
  overRows('addNormGradient', 3, 4, (l, at) => {
    const away = l.sub(l.load(at(0)), l.load(at(3)));
    const change = l.add(l.mul(l.load(at(1)), l.load(at(4))), l.mul(away, l.load(at(5))));
    return l.store(at(2), l.add(l.load(at(2)), l.add(change, l.load(at(6)))));
  });
