import { type Code, f32, f32x4, get, i32, Kernel, type Lanes, type Local, loop, set } from './assembler.js';

const step = (name: Local, by: Code): Code => set(name, i32.add(get(name), by));

/**
 * A kernel over the rows of a matrix: name(…moving, …fixed, rows, columns). `moving` addresses go from row to row, `fixed` ones are a
 * vector with one number per column.
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
