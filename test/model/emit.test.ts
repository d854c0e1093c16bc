import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { byteLines, cFloat, cName, cText } from '../../src/lib/model/emit/c-text.js';
import { type EmitOptions, emitted } from '../../src/lib/model/emit/emit.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { arenaBytes } from '../../src/lib/runtime/arena.js';
import { bytesIn } from '../support/emitted.js';
import { FloatNetwork } from '../support/float-network.js';

const n = new FloatNetwork(seededRandom(3));
const x = n.float([1, 4]);
const float = n.graph(x, n.softmax(n.dense(n.dense(x, 8, 'relu'), 3)));
const rows = Array.from({ length: 20 }, (_, k) =>
  Float32Array.from({ length: 4 }, (_, i) => Math.sin(k + i)),
);

function emit(graph: Graph, options: Partial<EmitOptions> = {}): [header: string, source: string] {
  const contents = writeTflite(graph);
  const about = { out: '/models/my-motor.tflite', graph, contents, name: 'motor', classes: [], ...options };
  const files = emitted('tflm', about);
  expect([...files.keys()]).toEqual(['/models/my-motor.h', '/models/my-motor.cc']);
  return [...files.values()] as [string, string];
}

describe('generated source for TFLite Micro', () => {
  const { graph } = quantizeGraph(float, rows);
  const [header, source] = emit(graph, { classes: ['normal', 'bearing "B"'] });

  it('contains the file’s bytes, 16-byte aligned', () => {
    expect(source).toContain('alignas(16) const unsigned char kModel[kModelSize] = {');
    expect(Buffer.from(bytesIn(source)).equals(Buffer.from(writeTflite(graph)))).toBe(true);
    expect(header).toContain(`constexpr std::size_t kModelSize = ${writeTflite(graph).length};`);
  });

  it('registers each operator once, in a resolver of matching size', () => {
    expect(header).toContain('constexpr unsigned int kOperatorCount = 2;');
    expect([...header.matchAll(/resolver\.(\w+)\(\)/g)].map(([, name]) => name)).toEqual([
      'AddFullyConnected',
      'AddSoftmax',
    ]);
  });

  it('declares the arena size and the quantization parameters', () => {
    expect(header).toContain(`constexpr std::size_t kArenaSize = ${arenaBytes(graph)};`);
    const { scale, zeroPoint } = graph.tensors[graph.inputs[0]!]!.quantization!;
    const written = Number(/kInputScale = ([\d.e+-]+)f;/.exec(header)![1]);
    expect(Math.fround(written)).toBe(scale[0]);
    expect(header).toContain(`constexpr int kInputZeroPoint = ${zeroPoint[0]};`);
    expect(header).toContain('constexpr float kOutputScale = 0.00390625000f;');
    expect(header).toContain('using OutputType = std::int8_t;\n');
  });

  it('declares the class names, escaping special characters', () => {
    expect(header).toContain('constexpr std::size_t kClassCount = 2;');
    expect(source).toContain('    "normal",\n    "bearing \\"B\\"",\n');
    expect(emit(graph)[0]).not.toContain('kClassCount');
  });

  it('has float inputs and no scales for a float model', () => {
    const [plain] = emit(quantizeGraph(float, [], { mode: 'float32' }).graph);
    expect(plain).toContain('using InputType = float;');
    expect(plain).not.toContain('Scale');
  });

  it.each(['float16', 'dynamic'] as const)(
    'is not generated for %s, which TFLite Micro does not run',
    (mode) => {
      const wide = new FloatNetwork(seededRandom(1));
      const input = wide.float([1, 64]);
      const { graph: small } = quantizeGraph(wide.graph(input, wide.dense(input, 64)), [], { mode });
      expect(() => emit(small)).toThrow(`TFLite Micro does not support a ${mode} model`);
    },
  );
});

describe('C identifiers and literals', () => {
  it.each([
    ['my-motor', 'my_motor'],
    ['3axis', 'model_3axis'],
    ['class', 'model_class'],
    ['__x__y', 'x_y'],
    ['…', 'model'],
  ])('%s becomes the identifier %s', (name, want) => expect(cName(name)).toBe(want));

  it('keep every float32 value exactly', () => {
    for (const value of [1, 0.1, 1 / 3, 1e-12, 3.4e38, 2 ** -149, 100]) {
      const single = Math.fround(value);
      expect(Math.fround(Number(cFloat(single).slice(0, -1)))).toBe(single);
      expect(cFloat(single)).toMatch(/[.e].*f$/);
    }
  });

  it('escape text so that it cannot end a literal or a comment', () => {
    expect(cText('a"b\\c\nd')).toBe('a\\"b\\\\c d');
    expect(cText('what??/')).toBe('what?\\?/');
    expect(byteLines(Uint8Array.of(0, 255))).toBe('    0x00, 0xff,');
  });
});
