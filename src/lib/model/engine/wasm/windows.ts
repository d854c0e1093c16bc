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
  when,
} from '../../../runtime/compiled/assembler.js';

const step = (name: Local, by: Code): Code => set(name, i32.add(get(name), by));

/** A kernel's operations at each cell of each window, on `channels` numbers at byte addresses. */
interface Cell {
  /** x = the image's cell, w = the filter's tap, y = the window's result, column = the cell's position in the columns. */
  inside(lanes: Lanes, at: { x: Code; w: Code; y: Code; column: Code }): Code;
  /** The operation at padding cells; absent if there is none. */
  outside?(lanes: Lanes, at: { column: Code }): Code;
  /** Whether the operation may write up to 12 bytes beyond the channels; later cells overwrite these bytes. */
  sloppy?: boolean;
}

/**
 * A kernel that iterates over the windows of a convolution on NHWC images:
 * name(x, w, y, images, height, width, channels, filterH, filterW, strideH, strideW, dilationH, dilationW, top, left, outH, outW).
 */
function walkWindows(name: string, cell: Cell): Kernel {
  const kernel = new Kernel(name, new Array<'i32'>(17).fill('i32'));
  const parameters = kernel.parameters.map((_, index) => kernel.parameter(index));
  const [x, w, y, images, height, width, channels, filterH, filterW] = parameters as Nine;
  const [strideH, strideW, dilationH, dilationW, top, left, outH, outW] = parameters.slice(9) as Eight;
  const [oy, ox, ky, kx, iy, ix, at, bytes, xAt, wAt] = Array.from({ length: 10 }, () =>
    kernel.local('i32'),
  ) as Ten;
  const column = kernel.local('i32');
  const overChannels = (body: (lanes: Lanes) => Code): Code => [
    ...set(at, i32.const(0)),
    ...loop(i32.less(cell.sloppy ? get(at) : i32.add(get(at), i32.const(12)), get(bytes)), [
      ...body(f32x4),
      ...step(at, i32.const(16)),
    ]),
    ...(cell.sloppy ? [] : loop(i32.less(get(at), get(bytes)), [...body(f32), ...step(at, i32.const(4))])),
  ];
  const from = (base: Local): Code => i32.add(get(base), get(at));
  const tap: Code = [
    ...set(iy, i32.sub(i32.add(i32.mul(get(oy), get(strideH)), i32.mul(get(ky), get(dilationH))), get(top))),
    ...set(ix, i32.sub(i32.add(i32.mul(get(ox), get(strideW)), i32.mul(get(kx), get(dilationW))), get(left))),
    // A negative position is a large unsigned number, so one comparison covers both bounds.
    ...when(
      i32.and(i32.lessUnsigned(get(iy), get(height)), i32.lessUnsigned(get(ix), get(width))),
      [
        ...set(xAt, i32.add(get(x), i32.mul(i32.add(i32.mul(get(iy), get(width)), get(ix)), get(bytes)))),
        ...overChannels((l) =>
          cell.inside(l, { x: from(xAt), w: from(wAt), y: from(y), column: from(column) }),
        ),
      ],
      cell.outside ? overChannels((l) => cell.outside!(l, { column: from(column) })) : [],
    ),
    ...step(column, get(bytes)),
    ...step(wAt, get(bytes)),
  ];
  const repeat = (counter: Local, count: Local, body: Code): Code => [
    ...set(counter, i32.const(0)),
    ...loop(i32.less(get(counter), get(count)), [...body, ...step(counter, i32.const(1))]),
  ];
  kernel.write(
    set(bytes, i32.mul(get(channels), i32.const(4))),
    set(column, get(y)),
    loop(get(images), [
      ...repeat(
        oy,
        outH,
        repeat(ox, outW, [
          ...set(wAt, get(w)),
          ...repeat(ky, filterH, repeat(kx, filterW, tap)),
          ...step(y, get(bytes)),
        ]),
      ),
      ...step(x, i32.mul(i32.mul(get(height), get(width)), get(bytes))),
      ...step(images, i32.const(-1)),
    ]),
  );
  return kernel;
}

type Eight = [Local, Local, Local, Local, Local, Local, Local, Local];

type Nine = [...Eight, Local];

type Ten = [...Nine, Local];

/** y (as columns [windows, taps × channels]) = the windows of x; 16 writable bytes must follow. */
export const windowsToColumns = (): Kernel =>
  walkWindows('windowsToColumns', {
    sloppy: true,
    inside: (l, { x, column }) => l.store(column, l.load(x)),
    outside: (l, { column }) => l.store(column, l.zero),
  });

/** x += columns (in y); each column value is added to the image cell that it was copied from. */
export const columnsToWindows = (): Kernel =>
  walkWindows('columnsToWindows', {
    inside: (l, { x, column }) => l.store(x, l.add(l.load(x), l.load(column))),
  });

/** y += x · w, channel by channel. */
export const depthwise = (): Kernel =>
  walkWindows('depthwise', {
    inside: (l, { x, w, y }) => l.store(y, l.add(l.load(y), l.mul(l.load(x), l.load(w)))),
  });

/** x += y · w: the gradient of the images. */
export const depthwiseImages = (): Kernel =>
  walkWindows('depthwiseImages', {
    inside: (l, { x, w, y }) => l.store(x, l.add(l.load(x), l.mul(l.load(y), l.load(w)))),
  });

/** w += x · y: the gradient of the filter. */
export const depthwiseFilter = (): Kernel =>
  walkWindows('depthwiseFilter', {
    inside: (l, { x, w, y }) => l.store(w, l.add(l.load(w), l.mul(l.load(x), l.load(y)))),
  });
