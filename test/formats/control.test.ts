import { describe, expect, it } from 'vitest';
import { type Subgraph, withoutControl } from '../../src/lib/formats/tflite/control.js';
import type { Tensor } from '../../src/lib/formats/tflite/graph.js';
import type { FileOperator } from '../../src/lib/formats/tflite/variables.js';

const real = (...shape: number[]): Tensor => ({ name: 'real', type: 'float32', shape });
const number: Tensor = { name: 'number', type: 'int32', shape: [] };
const truth: Tensor = { name: 'truth', type: 'bool', shape: [] };
const constant = (value: number): Tensor => ({ ...number, data: Int32Array.of(value) });
function subgraph(tensors: Tensor[], inputs: number[], outputs: number[], ...operators: object[]): Subgraph {
  const complete = operators.map((operator) => ({ options: {}, ...operator }) as FileOperator);
  return { tensors, inputs, outputs, operators: complete };
}

/** A loop over a counter and x that applies TANH to x while the counter is below `steps`. */
function tanhLoop(steps: number): Subgraph[] {
  const loop = { op: 'WHILE', inputs: [1, 0], outputs: [2, 3], options: { condition: 1, body: 2 } };
  return [
    subgraph([real(1, 4), constant(0), number, real(1, 4)], [0], [3], loop),
    subgraph([number, real(1, 4), constant(steps), truth], [0, 1], [3], {
      op: 'LESS',
      inputs: [0, 2],
      outputs: [3],
    }),
    subgraph(
      [number, real(1, 4), constant(1), number, real(1, 4)],
      [0, 1],
      [3, 4],
      { op: 'ADD', inputs: [0, 2], outputs: [3], options: { activation: 'none' } },
      { op: 'TANH', inputs: [1], outputs: [4] },
    ),
  ];
}

describe('control flow of a .tflite file', () => {
  it('a loop with a fixed number of steps becomes the operators of its steps', () => {
    const { main, steps } = withoutControl(tanhLoop(3));
    expect(steps).toBe(3);
    expect(main.operators.map(({ op }) => op)).toEqual(['TANH', 'TANH', 'TANH']);
    const [first, second, third] = main.operators;
    expect(first!.inputs).toEqual(main.inputs);
    expect([second!.inputs, third!.inputs, main.outputs]).toEqual(
      [first, second, third].map((operator) => operator!.outputs),
    );
  });

  it('a loop without steps yields its inputs', () => {
    expect(withoutControl(tanhLoop(0)).main).toMatchObject({ operators: [], inputs: [0], outputs: [0] });
  });

  it.each([
    [true, 'TANH'],
    [false, 'RELU'],
  ])('a branch whose condition is always %s becomes %s', (holds, expected) => {
    const condition: Tensor = { ...truth, data: Uint8Array.of(Number(holds)) };
    const branch = { op: 'IF', inputs: [1, 0], outputs: [2], options: { ifTrue: 1, ifFalse: 2 } };
    const { main } = withoutControl([
      subgraph([real(2), condition, real(2)], [0], [2], branch),
      subgraph([real(2), real(2)], [0], [1], { op: 'TANH', inputs: [0], outputs: [1] }),
      subgraph([real(2), real(2)], [0], [1], { op: 'RELU', inputs: [0], outputs: [1] }),
    ]);
    expect(main.operators.map(({ op }) => op)).toEqual([expected]);
  });

  const wrong: [string, () => Subgraph[], string][] = [
    [
      'a condition that depends on the input',
      () => {
        const [main, , body] = tanhLoop(1) as [Subgraph, Subgraph, Subgraph];
        const tensors = [number, real(1, 4), real(1, 4), truth];
        return [main, subgraph(tensors, [0, 1], [3], { op: 'LESS', inputs: [1, 1], outputs: [3] }), body];
      },
      'WHILE: the condition depends on the input (expected a fixed number of steps)',
    ],
    [
      'a condition that depends on the input, with the place of the loop in the file,',
      () => {
        const [main, , body] = tanhLoop(1) as [Subgraph, Subgraph, Subgraph];
        const tensors = [number, real(1, 4), real(1, 4), truth];
        return [main, subgraph(tensors, [0, 1], [3], { op: 'LESS', inputs: [1, 1], outputs: [3] }), body];
      },
      'subgraph 0, operator 0',
    ],
    ['an endless loop', () => tanhLoop(2 ** 30), 'more than 4096 steps'],
    [
      'a recursion',
      () => {
        const [main, condition] = tanhLoop(1) as [Subgraph, Subgraph];
        return [main, condition, { ...main, inputs: [1, 0], outputs: [2, 3] }];
      },
      'a recursion',
    ],
    ['a missing subgraph', () => tanhLoop(1).slice(0, 2), 'a call with 2 inputs'],
  ];
  it.each(wrong)('%s is rejected', (_, make, expected) => {
    expect(() => withoutControl(make())).toThrow(expected);
  });
});
