import { elementCount } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { permuted } from './fold.js';
import { product } from './linear.js';
import { type Activation, identity, type OnnxMaker, type Value } from './maker.js';
import { picked, sum } from './shapes.js';

/** An operand of an Einsum: each of its axes has a letter. */
interface Operand {
  value: Value;
  letters: string[];
}

const next = 'use MatMul, Transpose and ReduceSum';

/** A product of tensors, summed over the letters that the result does not have, such as bhqd,bhkd→bhqk in attention. */
const einsum: Lower = (call) => {
  const { where } = call;
  const { terms, right } = termsOf(call);
  const left = terms.join('');
  const operands = withoutBroadcasts(
    call,
    terms.map((term, place): Operand => {
      const value = call.value(place);
      if (term.length !== value.shape.length)
        throw malformed(`${where}: ${term} does not fit [${value.shape.join(', ')}]`);
      return withoutDiagonals(call, { value, letters: [...term] });
    }),
  );
  const once = [...new Set(left)].filter((letter) => left.split(letter).length === 2 || isHidden(letter));
  const wanted = right === undefined ? once.sort() : [...right];
  if (new Set(wanted).size !== wanted.length || wanted.some((letter) => !left.includes(letter)))
    throw malformed(`${where}: the equation ${quoted(call)} has an unknown or repeated letter`);
  const sizes = sizesOf(operands, where);
  const [first, ...others] = operands as [Operand, ...Operand[]];
  const joined = others.reduce((a, b, k) => {
    const later = new Set([...wanted, ...others.slice(k + 1).flatMap(({ letters }) => letters)]);
    return multiplied(
      call,
      summed(call, a, [...b.letters, ...later]),
      summed(call, b, [...a.letters, ...later]),
      later,
      sizes,
    );
  }, first);
  return ordered(call.maker, summed(call, joined, wanted), wanted).value;
};

const quoted = (call: NodeCall) => JSON.stringify(call.attributes.text('equation', ''));

/** The digits stand for the axes of an ellipsis; they sort before the letters, as the axes do in a result that is not stated. */
const isHidden = (letter: string) => /\d/.test(letter);

/** The letters of each operand and of the result, with digits in place of ellipses. */
function termsOf(call: NodeCall): { terms: string[]; right: string | undefined } {
  const { where } = call;
  const equation = call.attributes.text('equation', '').replaceAll(' ', '');
  const [left = '', right, ...rest] = equation.split('->');
  const terms = left.split(',');
  const isTerm = (text: string) => /^[A-Za-z]*(?:\.{3}[A-Za-z]*)?$/.test(text);
  if (rest.length > 0 || terms.length !== call.inputs.length || !terms.every(isTerm))
    throw unsupported(where, `the equation ${quoted(call)} is not supported`, next);
  if (right !== undefined && !isTerm(right))
    throw malformed(`${where}: the equation ${quoted(call)} has an unknown or repeated letter`);
  const counts = terms.map((term, place) =>
    term.includes('...') ? Math.max(0, call.value(place).shape.length - (term.length - 3)) : 0,
  );
  const most = Math.max(...counts);
  if (most > 0 && right !== undefined && !right.includes('...'))
    throw unsupported(where, `the equation ${quoted(call)} sums over the axes of an ellipsis`, next);
  // The axes of a shorter ellipsis are the last ones of a longer one.
  const digits = (count: number) => Array.from({ length: count }, (_, k) => most - count + k).join('');
  return {
    terms: terms.map((term, place) => term.replace('...', digits(counts[place]!))),
    right: right?.replace('...', digits(most)),
  };
}

/** Axes of an ellipsis with a length of 1 are left out if another operand's is longer: a product repeats them. */
function withoutBroadcasts(call: NodeCall, operands: readonly Operand[]): Operand[] {
  const longest = new Map<string, number>();
  for (const { value, letters } of operands)
    letters.forEach((letter, axis) => {
      longest.set(letter, Math.max(longest.get(letter) ?? 0, value.shape[axis]!));
    });
  return operands.map(({ value, letters }) => {
    const kept = identity(letters.length).filter((axis) => {
      const letter = letters[axis]!;
      return !isHidden(letter) || value.shape[axis] !== 1 || longest.get(letter) === 1;
    });
    if (kept.length === letters.length) return { value, letters };
    return {
      value: reshaped(
        call.maker,
        value,
        kept.map((axis) => value.shape[axis]!),
      ),
      letters: kept.map((axis) => letters[axis]!),
    };
  });
}

/** For a letter that an operand repeats, as in ii, the elements whose positions on these axes are equal; their axis is the last one. */
function withoutDiagonals(call: NodeCall, operand: Operand): Operand {
  const { value, letters } = operand;
  const letter = letters.find((each, axis) => letters.indexOf(each) !== axis);
  if (letter === undefined) return operand;
  const [i, j] = [letters.indexOf(letter), letters.indexOf(letter, letters.indexOf(letter) + 1)];
  const size = value.shape[i]!;
  if (value.shape[j] !== size)
    throw malformed(`${call.where}: ${letter} has the sizes ${size} and ${value.shape[j]}`);
  const others = identity(letters.length).filter((axis) => axis !== i && axis !== j);
  const shape = others.map((axis) => value.shape[axis]!);
  const moved = call.maker.transposedValue(activationOf(call, value), [...others, i, j]);
  const flat = call.maker.reshaped(moved, [...shape, size * size]);
  const places = Array.from({ length: size }, (_, k) => k * (size + 1));
  return withoutDiagonals(call, {
    value: picked(call, flat, shape.length, places),
    letters: [...others.map((axis) => letters[axis]!), letter],
  });
}

const activationOf = ({ maker }: NodeCall, value: Value): Activation =>
  value.kind === 'activation' ? value : maker.plain(maker.weights(value), value.shape);

const reshaped = (maker: OnnxMaker, value: Value, shape: number[]): Value =>
  value.kind === 'constant' ? { ...value, shape } : maker.reshaped(value, shape);

/** The size of each letter's axis. @throws AIOT_FILE_MALFORMED if a letter has two sizes */
function sizesOf(operands: readonly Operand[], where: string): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const { value, letters } of operands)
    letters.forEach((letter, axis) => {
      const size = value.shape[axis]!;
      if ((sizes.get(letter) ?? size) !== size)
        throw malformed(
          `${where}: ${isHidden(letter) ? 'an axis of the ellipsis' : letter} has the sizes ${sizes.get(letter)} and ${size}`,
        );
      sizes.set(letter, size);
    });
  return sizes;
}

/** The sum over all letters other than these. */
function summed(call: NodeCall, { value, letters }: Operand, kept: readonly string[]): Operand {
  const axes = identity(letters.length).filter((axis) => !kept.includes(letters[axis]!));
  if (axes.length === 0) return { value, letters };
  return {
    value: sum(call, activationOf(call, value), axes, false),
    letters: letters.filter((letter) => kept.includes(letter)),
  };
}

/** The operand with its letters in this order. */
function ordered(maker: OnnxMaker, { value, letters }: Operand, wanted: string[]): Operand {
  const order = wanted.map((letter) => letters.indexOf(letter));
  const moved = value.kind === 'constant' ? permuted(value, order) : maker.transposedValue(value, order);
  return { value: moved, letters: wanted };
}

/** The product of two operands as one of matrices: [common, own rows, summed] times [common, summed, own columns]. */
function multiplied(
  call: NodeCall,
  a: Operand,
  b: Operand,
  later: ReadonlySet<string>,
  sizes: ReadonlyMap<string, number>,
): Operand {
  const { maker, where } = call;
  if (a.value.kind === 'constant' && b.value.kind === 'constant')
    throw unsupported(where, 'it multiplies two constants', 'multiply them before the export, or use MatMul');
  const shared = a.letters.filter((letter) => b.letters.includes(letter));
  const [common, inner] = [true, false].map((isKept) =>
    shared.filter((letter) => later.has(letter) === isKept),
  ) as [string[], string[]];
  const [rows, columns] = [a, b].map(({ letters }) =>
    letters.filter((letter) => !shared.includes(letter)),
  ) as [string[], string[]];
  const count = (letters: readonly string[]) => elementCount(letters.map((letter) => sizes.get(letter)!));
  const batch = common.length === 0 ? [] : [count(common)];
  const matrix = (operand: Operand, upper: string[], lower: string[]): Value => {
    const { value } = ordered(maker, operand, [...common, ...upper, ...lower]);
    return reshaped(maker, value, [...batch, count(upper), count(lower)]);
  };
  const y = product(call, matrix(a, rows, inner), matrix(b, inner, columns));
  const letters = [...common, ...rows, ...columns];
  return {
    value: maker.reshaped(
      y,
      letters.map((letter) => sizes.get(letter)!),
    ),
    letters,
  };
}

export const einsumRows: Readonly<Record<string, Lower>> = { Einsum: einsum };
