import { describe, expect, it } from 'vitest';
import { type Subgraph, withoutControl } from '../../src/lib/formats/tflite/control.js';
import type { Graph, Tensor } from '../../src/lib/formats/tflite/graph.js';
import type { FileOperator } from '../../src/lib/formats/tflite/variables.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';

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

/** A loop that applies TANH to x while x is above 0.5, and at most `steps` times if given. */
function openLoop(steps?: number): Subgraph[] {
  const [main, , body] = tanhLoop(1) as [Subgraph, Subgraph, Subgraph];
  const single = (graph: Subgraph): Subgraph => ({
    ...graph,
    tensors: graph.tensors.map((tensor) => (tensor?.name === 'real' ? { ...tensor, shape: [] } : tensor)),
  });
  const half: Tensor = { ...real(), data: Float32Array.of(0.5) };
  const tensors = [number, real(), half, truth, constant(steps ?? 0), truth, truth];
  const above = { op: 'GREATER', inputs: [1, 2], outputs: [3] };
  const limited = [
    { op: 'LESS', inputs: [0, 4], outputs: [5] },
    { op: 'LOGICAL_AND', inputs: [5, 3], outputs: [6] },
  ];
  const condition = subgraph(
    tensors,
    [0, 1],
    [steps === undefined ? 3 : 6],
    above,
    ...(steps === undefined ? [] : limited),
  );
  return [single(main), condition, single(body)];
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

  it('selects between both branches if the condition depends on the input', () => {
    const branch = { op: 'IF', inputs: [1, 0], outputs: [2], options: { ifTrue: 1, ifFalse: 2 } };
    const { main } = withoutControl([
      subgraph([real(2), truth, real(2)], [0, 1], [2], branch),
      subgraph([real(2), real(2)], [0], [1], { op: 'TANH', inputs: [0], outputs: [1] }),
      subgraph([real(2), real(2)], [0], [1], { op: 'RELU', inputs: [0], outputs: [1] }),
    ]);
    expect(main.operators.map(({ op }) => op)).toEqual(['TANH', 'RELU', 'SELECT_V2']);
    expect(main.operators[2]!.inputs).toEqual([
      1,
      main.operators[0]!.outputs[0],
      main.operators[1]!.outputs[0],
    ]);
  });

  it('takes the largest number of steps of a loop that ends depending on the input, and keeps its results', () => {
    const { main, steps } = withoutControl(openLoop(3));
    expect(steps).toBe(3);
    const [x] = main.inputs;
    const graph = { name: '', description: '', ...main } as Graph;
    const interpreter = createInterpreter(graph);
    const want = (start: number) => {
      let value = Math.fround(start);
      for (let step = 0; step < 3 && value > 0.5; step++) value = Math.fround(Math.tanh(value));
      return value;
    };
    expect(x).toBe(0);
    for (const start of [-1, 0.4, 0.6, 2, 9])
      expect(interpreter.invoke(Float32Array.of(start))[0]).toBe(want(start));
  });

  const wrong: [string, () => Subgraph[], string][] = [
    [
      'a loop without a largest number of steps, with its place in the file,',
      () => openLoop(),
      'subgraph 0, operator 0 (number), WHILE: its condition depends on the input (expected a maximum number of steps, at most 256)',
    ],
    [
      'a condition with several values',
      () => {
        const [main, , body] = tanhLoop(1) as [Subgraph, Subgraph, Subgraph];
        const tensors = [number, real(1, 4), { ...truth, shape: [4] }];
        return [main, subgraph(tensors, [0, 1], [2], { op: 'LESS', inputs: [1, 1], outputs: [2] }), body];
      },
      'expected a condition of one bool, got bool [4]',
    ],
    [
      'a branch with another shape',
      () => [
        subgraph([real(2), truth, real(2)], [0, 1], [2], {
          ...{ op: 'IF', inputs: [1, 0], outputs: [2], options: { ifTrue: 1, ifFalse: 2 } },
        }),
        subgraph([real(2), real(2)], [0], [1], { op: 'TANH', inputs: [0], outputs: [1] }),
        subgraph([real(2), real(1, 2)], [0], [1], { op: 'RESHAPE', inputs: [0], outputs: [1] }),
      ],
      'its results have the shapes [2] and [1,2]',
    ],
    ['an endless loop', () => tanhLoop(2 ** 30), 'more than 4096 steps'],
    [
      'branches in branches, whose number doubles at each of 40 levels,',
      () => [
        ...Array.from({ length: 40 }, (_, level) =>
          subgraph([real(2), truth, real(2)], [0, 1], [2], {
            ...{
              op: 'IF',
              inputs: [1, 0, 1],
              outputs: [2],
              options: { ifTrue: level + 1, ifFalse: level + 1 },
            },
          }),
        ),
        subgraph([real(2), truth], [0, 1], [0]),
      ],
      'its unrolled steps contain too many operators',
    ],
    [
      'a recursion',
      () => {
        const [main, condition] = tanhLoop(1) as [Subgraph, Subgraph];
        return [main, condition, { ...main, inputs: [1, 0], outputs: [2, 3] }];
      },
      'it calls itself',
    ],
    ['a missing subgraph', () => tanhLoop(1).slice(0, 2), 'does not have 2 inputs'],
  ];
  it.each(wrong)('%s is rejected', (_, make, expected) => {
    expect(() => withoutControl(make())).toThrow(expected);
  });
});
