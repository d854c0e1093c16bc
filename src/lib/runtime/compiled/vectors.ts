import { elementCount, type OperatorOptions } from '../../formats/tflite/graph.js';
import { floatRange } from '../interpreter/float.js';
import type { Node } from '../interpreter/node.js';
import {
  type Code,
  clampFour,
  copyBytes,
  f32x4,
  get,
  i32,
  Kernel,
  type Local,
  number,
  repeatWhile,
  set,
} from './assembler.js';
import type { Compiler } from './compiler.js';
import { range, step, storeLanes } from './products.js';

/** An operator on each element of one float32 input. */
export function unary(compute: (x: Code) => Code) {
  return (node: Node, compiler: Compiler): (() => void) =>
    compiler.add(
      overVectors(node, node.float32Output.length, (at, offset) =>
        compute(f32x4.load(at(compiler.addressOf(node.float32(0))), offset)),
      ),
    );
}

/** LEAKY_RELU: x < 0 ? alpha · x : x. */
export function leakyRelu(
  node: Node<OperatorOptions['LEAKY_RELU']>,
  compiler: Compiler,
): (() => void) | undefined {
  const { alpha } = node.options;
  // For other slopes, the result is not the larger of the two.
  if (!(alpha >= 0 && alpha <= 1)) return undefined;
  const kernel = unary((x) => f32x4.max(x, f32x4.mul(x, f32x4.splat(number(alpha)))));
  return kernel(node as Node, compiler);
}

/** ADD, SUB, MUL and DIV on float32 of equal shapes, or with a single number or one number for each of the last axis' positions. */
export function binary(compute: (a: Code, b: Code) => Code) {
  return (node: Node<OperatorOptions['MUL']>, compiler: Compiler): (() => void) | undefined => {
    const { low, high } = floatRange(node.options.activation ?? 'none');
    const y = node.float32Output;
    const row = node.output.tensor.shape.at(-1) ?? 1;
    const kinds = [0, 1].map((place) => {
      const { shape } = node.input(place).tensor;
      const size = elementCount(shape);
      if (size === y.length) return 'same' as const;
      if (size === 1) return 'one' as const;
      return size === row && shape.at(-1) === row && row % 4 === 0 ? ('row' as const) : undefined;
    });
    if (kinds.includes(undefined)) return undefined;
    const addresses = [0, 1].map((place) => compiler.addressOf(node.float32(place)));
    const size = kinds.includes('row') ? row : y.length;
    return compiler.add(
      overVectors(
        node,
        size,
        (at, offset) => {
          const [a, b] = kinds.map((kind, place) => {
            const address = addresses[place]!;
            if (kind === 'one') return f32x4.loadSplat(i32.const(address));
            return f32x4.load(at(address, kind === 'same'), offset);
          }) as [Code, Code];
          return clampFour(compute(a, b), low, high);
        },
        y.length / size,
      ),
    );
  };
}

/**
 * y = body, four numbers at a time. `at` returns the code for an address plus the current position, within a line or, by default, in all
 * lines.
 */
function overVectors(
  node: Node,
  size: number,
  body: (at: (address: number, alongLines?: boolean) => Code, offset: number) => Code,
  lines = 1,
): Kernel {
  const kernel = new Kernel(`f${node.index}`, []);
  const [position, start, line, whole] = range(4, () => kernel.local('i32')) as [Local, Local, Local, Local];
  const y = node.float32Output.byteOffset;
  const at = (address: number, alongLines = true) =>
    i32.add(get(lines > 1 && alongLines ? whole : position), i32.const(address));
  const vector = (offset: number) => f32x4.store(at(y), body(at, offset), offset);
  const vectors = Math.ceil(size / 4);
  const loops = Math.floor(vectors / 4);
  const sums = lines > 1 ? set(whole, i32.add(get(position), get(start))) : [];
  const pass: Code = [
    ...set(position, i32.const(0)),
    ...(loops > 0
      ? repeatWhile(
          [...sums, ...range(4, (v) => vector(v * 16)).flat(), ...step(position, 64)],
          i32.less(get(position), i32.const(loops * 64)),
        )
      : []),
    ...sums,
    ...range(vectors % 4, (v) => vector(v * 16)).flat(),
  ];
  if (lines === 1) kernel.write(pass);
  else
    kernel.write(
      set(line, i32.const(lines)),
      set(start, i32.const(0)),
      repeatWhile([...pass, ...step(start, size * 4), ...step(line, -1)], get(line)),
    );
  return kernel;
}

/** MEAN and SUM on float32 over adjacent axes, of which the last axis is not one. */
export function reduce(kind: 'mean' | 'sum') {
  return (node: Node<OperatorOptions['MEAN']>, compiler: Compiler): (() => void) | undefined => {
    const axes = adjacentAxes(node);
    if (axes === undefined) return undefined;
    const { outer, count, inner } = axes;
    const kernel = new Kernel(`f${node.index}`, []);
    const [line, group, at, xAt, left] = range(5, () => kernel.local('i32')) as [
      Local,
      Local,
      Local,
      Local,
      Local,
    ];
    const sums = range(4, () => kernel.local('v128'));
    const [x, y] = [node.float32(0).byteOffset, node.float32Output.byteOffset];
    const bytes = inner * 4;
    const add = (many: number): Code =>
      range(many, (i) => set(sums[i]!, f32x4.add(get(sums[i]!), f32x4.load(get(xAt), i * bytes)))).flat();
    const total = f32x4.add(f32x4.add(get(sums[0]!), get(sums[1]!)), f32x4.add(get(sums[2]!), get(sums[3]!)));
    const groupCode: Code = [
      ...set(at, i32.least(get(group), i32.const(Math.max(inner - 4, 0) * 4))),
      ...set(xAt, i32.add(get(at), i32.add(i32.const(x), i32.mul(get(line), i32.const(count * bytes))))),
      ...sums.flatMap((sum) => set(sum, f32x4.zero)),
      ...(count >= 4
        ? [
            ...set(left, i32.const(Math.floor(count / 4))),
            ...repeatWhile([...add(4), ...step(xAt, 4 * bytes), ...step(left, -1)], get(left)),
          ]
        : []),
      ...add(count % 4),
      ...set(sums[0]!, kind === 'mean' ? f32x4.div(total, f32x4.splat(number(count))) : total),
      ...storeLanes(
        i32.add(get(at), i32.add(i32.const(y), i32.mul(get(line), i32.const(bytes)))),
        sums[0]!,
        Math.min(4, inner),
        0,
      ),
      ...step(group, 16),
    ];
    kernel.write(
      set(line, i32.const(0)),
      repeatWhile(
        [
          ...set(group, i32.const(0)),
          ...repeatWhile(groupCode, i32.less(get(group), i32.const(bytes))),
          ...step(line, 1),
        ],
        i32.less(get(line), i32.const(outer)),
      ),
    );
    return compiler.add(kernel);
  };
}

/** Elements before, along and after the reduced axes, which must be adjacent and not include the last one; otherwise undefined. */
export function adjacentAxes(node: Node<OperatorOptions['MEAN']>) {
  const { shape } = node.input(0).tensor;
  const axes = [...new Set([...node.int32Constant(1)].map((axis) => node.axis(axis, shape)))].sort(
    (a, b) => a - b,
  );
  const [first = 0, last = -1] = [axes[0], axes.at(-1)];
  if (axes.length === 0 || last - first + 1 !== axes.length || last === shape.length - 1) return undefined;
  return {
    outer: elementCount(shape.slice(0, first)),
    count: elementCount(shape.slice(first, last + 1)),
    inner: elementCount(shape.slice(last + 1)),
  };
}

/** PAD on float32 of one or two axes, of which the first is then preceded by axes of size 1. The border was filled when the operator was planned. */
export function pad(node: Node, compiler: Compiler): (() => void) | undefined {
  const { shape } = node.input(0).tensor;
  const paddings = node.int32Constant(1);
  const before = (axis: number) => paddings[2 * axis]!;
  const padded = shape.flatMap((_, axis) => (before(axis) + paddings[2 * axis + 1]! > 0 ? [axis] : []));
  const [first = 0, last = first] = padded;
  if (padded.length < 1 || padded.length > 2) return undefined;
  if (first !== last && elementCount(shape.slice(0, first)) !== 1) return undefined;
  const inner = elementCount(shape.slice(last + 1));
  const run = inner * shape[last]!;
  const to = run + inner * (before(last) + paddings[2 * last + 1]!);
  // With two axes, whole positions along the first one come before the image.
  const skipped = first === last ? 0 : before(first) * elementCount(shape.slice(first + 1, last)) * to;
  return compiler.add(
    copies(node, [
      {
        from: compiler.addressOf(node.float32(0)),
        to: node.float32Output.byteOffset + (skipped + inner * before(last)) * 4,
        runs: elementCount(shape.slice(0, last)),
        ...{ run, fromStep: run, toStep: to },
      },
    ]),
  );
}

/** CONCATENATION on float32. */
export function concatenation(
  node: Node<OperatorOptions['CONCATENATION']>,
  compiler: Compiler,
): (() => void) | undefined {
  const { shape } = node.output.tensor;
  const axis = node.axis(node.options.axis, shape);
  const runs = elementCount(shape.slice(0, axis));
  const line = elementCount(shape.slice(axis));
  let at = node.float32Output.byteOffset;
  const parts = node.inputs.map((_, place) => {
    const run = elementCount(node.input(place).tensor.shape.slice(axis));
    const to = at;
    at += run * 4;
    return { from: compiler.addressOf(node.float32(place)), to, runs, run, fromStep: run, toStep: line };
  });
  return compiler.add(copies(node as Node, parts));
}

interface Copy {
  /** Addresses. */
  from: number;
  to: number;
  /** Number of runs, numbers in each, and the distances from run to run. */
  runs: number;
  run: number;
  fromStep: number;
  toStep: number;
}

/** Runs up to this length are copied in vectors, which for short runs is faster than an instruction for any length. */
const shortRun = 128;

function copies(node: Node, parts: readonly Copy[]): Kernel {
  const kernel = new Kernel(`f${node.index}`, []);
  const [from, to, left] = range(3, () => kernel.local('i32')) as [Local, Local, Local];
  const value = kernel.local('v128');
  for (const { run, runs, fromStep, toStep, ...start } of parts) {
    const vector = (offset: number, lanes: number): Code => [
      ...set(value, f32x4.load(get(from), offset)),
      ...storeLanes(get(to), value, lanes, offset),
    ];
    const rest = run % 4;
    const copy: Code =
      run > shortRun
        ? copyBytes(get(to), get(from), i32.const(run * 4))
        : [
            ...range(Math.floor(run / 4), (v) => vector(v * 16, 4)).flat(),
            ...(rest > 0 ? vector((run - rest) * 4, rest) : []),
          ];
    if (run > 0 && runs > 0)
      kernel.write(
        set(from, i32.const(start.from)),
        set(to, i32.const(start.to)),
        set(left, i32.const(runs)),
        repeatWhile(
          [...copy, ...step(from, fromStep * 4), ...step(to, toStep * 4), ...step(left, -1)],
          get(left),
        ),
      );
  }
  return kernel;
}
