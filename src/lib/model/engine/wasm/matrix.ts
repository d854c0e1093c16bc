import {
  type Code,
  f32,
  f32x4,
  get,
  i32,
  Kernel,
  type Local,
  loop,
  set,
  storeLane,
  when,
} from '../../../runtime/compiled/assembler.js';

/** `name += by` */
const step = (name: Local, by: Code): Code => set(name, i32.add(get(name), by));

/**
 * C = clamp(A·B + bias), or C += A·B. Addresses and strides are in bytes. A is read element by element, with separate strides for rows and
 * columns, so that Aᵀ and overlapping windows need no copy. Rows of B and C are contiguous.
 *
 *     gemm(m, n, k, a, aRow, aColumn, b, bRow, c, cRow, bias | 0, low, high, accumulate)
 *
 * Blocks of 4 × 8 results stay in registers during the loop over k. If n is not a multiple of 4, the data beyond a row is computed but not
 * stored, so 16 readable bytes must follow B, C and the bias.
 */
export function gemm(): Kernel {
  const kernel = new Kernel('gemm', [
    ...(['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'] as const),
    ...(['f32', 'f32', 'i32'] as const),
  ]);
  const [m, n, k, a, aRow, aColumn, b, bRow, c, cRow, bias, low, high, accumulate] = kernel.parameters.map(
    (_, index) => kernel.parameter(index),
  ) as Parameters14;
  const [i, j, inner, left, start, bAt, cAt] = Array.from({ length: 7 }, () => kernel.local('i32')) as Seven;
  const rows = Array.from({ length: 4 }, () => kernel.local('i32'));
  const sums = Array.from({ length: 8 }, () => kernel.local('v128'));
  const columns = [kernel.local('v128'), kernel.local('v128')];
  const factor = kernel.local('v128');

  const store = (address: Code, value: Local, first: number): Code => {
    const full: Code = f32x4.store(address, get(value));
    const lane = (l: number) => storeLane(l, address, get(value));
    const more = (count: number, then: Code) => when(i32.less(i32.const(first + count), get(left)), then);
    return when(
      i32.notLess(get(left), i32.const(first + 4)),
      full,
      more(0, [...lane(0), ...more(1, [...lane(1), ...more(2, lane(2))])]),
    );
  };

  /** `height` rows from row i, `vectors` × 4 columns from column j. */
  const block = (height: number, vectors: number): Code => {
    const at = (r: number, v: number) => sums[r * 2 + v]!;
    const each = (make: (r: number, v: number) => Code): Code =>
      Array.from({ length: height * vectors }, (_, x) => make(Math.floor(x / vectors), x % vectors)).flat();
    return [
      ...set(start, i32.add(get(a), i32.mul(get(i), get(aRow)))),
      ...rows
        .slice(0, height)
        .flatMap((row, r) => set(row, i32.add(get(start), i32.mul(i32.const(r), get(aRow))))),
      ...set(bAt, i32.add(get(b), i32.mul(get(j), i32.const(4)))),
      ...when(
        get(bias),
        each((r, v) => set(at(r, v), f32x4.load(i32.add(get(bias), i32.mul(get(j), i32.const(4))), v * 16))),
        each((r, v) => set(at(r, v), f32x4.zero)),
      ),
      ...set(inner, get(k)),
      ...loop(get(inner), [
        ...columns.slice(0, vectors).flatMap((column, v) => set(column, f32x4.load(get(bAt), v * 16))),
        ...rows
          .slice(0, height)
          .flatMap((row, r) => [
            ...set(factor, f32x4.loadSplat(get(row))),
            ...columns
              .slice(0, vectors)
              .flatMap((column, v) =>
                set(at(r, v), f32x4.add(get(at(r, v)), f32x4.mul(get(factor), get(column)))),
              ),
            ...step(row, get(aColumn)),
          ]),
        ...step(bAt, get(bRow)),
        ...step(inner, i32.const(-1)),
      ]),
      ...set(cAt, i32.add(get(c), i32.add(i32.mul(get(i), get(cRow)), i32.mul(get(j), i32.const(4))))),
      ...Array.from({ length: height }, (_, r) => [
        ...when(
          get(accumulate),
          Array.from({ length: vectors }, (_, v) =>
            set(at(r, v), f32x4.add(get(at(r, v)), f32x4.load(get(cAt), v * 16))),
          ).flat(),
          Array.from({ length: vectors }, (_, v) =>
            set(at(r, v), f32x4.min(f32x4.max(get(at(r, v)), f32x4.splat(get(low))), f32x4.splat(get(high)))),
          ).flat(),
        ),
        ...Array.from({ length: vectors }, (_, v) =>
          store(i32.add(get(cAt), i32.const(v * 16)), at(r, v), v * 4),
        ).flat(),
        ...step(cAt, get(cRow)),
      ]).flat(),
    ];
  };

  const down = (vectors: number): Code => [
    ...set(i, i32.const(0)),
    ...loop(i32.less(i32.add(get(i), i32.const(3)), get(m)), [
      ...block(4, vectors),
      ...step(i, i32.const(4)),
    ]),
    ...loop(i32.less(get(i), get(m)), [...block(1, vectors), ...step(i, i32.const(1))]),
  ];
  kernel.write(
    set(j, i32.const(0)),
    loop(i32.less(get(j), get(n)), [
      ...set(left, i32.sub(get(n), get(j))),
      ...when(i32.greater(get(left), i32.const(4)), down(2), down(1)),
      ...step(j, i32.const(8)),
    ]),
  );
  return kernel;
}

type Parameters14 = [
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
  Local,
  Local,
  Local,
];

type Seven = [Local, Local, Local, Local, Local, Local, Local];

/** to[c][r] = from[r][c]: transpose(from, to, rows, columns) */
export function transpose(): Kernel {
  const kernel = new Kernel('transpose', ['i32', 'i32', 'i32', 'i32']);
  const [from, to, rows, columns] = [0, 1, 2, 3].map((index) => kernel.parameter(index)) as [
    Local,
    Local,
    Local,
    Local,
  ];
  const [r, c, at] = [kernel.local('i32'), kernel.local('i32'), kernel.local('i32')];
  kernel.write(
    loop(i32.less(get(r), get(rows)), [
      ...set(c, get(columns)),
      ...set(at, i32.add(get(to), i32.mul(get(r), i32.const(4)))),
      ...loop(get(c), [
        ...f32.store(get(at), f32.load(get(from))),
        ...step(at, i32.mul(get(rows), i32.const(4))),
        ...step(from, i32.const(4)),
        ...step(c, i32.const(-1)),
      ]),
      ...step(r, i32.const(1)),
    ]),
  );
  return kernel;
}
