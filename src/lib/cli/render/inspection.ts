import { percent, size } from '../../core/index.js';
import type { Inspection } from '../../model/index.js';
import { bold } from './style.js';
import { facts, table } from './text.js';

type Network = Inspection['network'];

/** What a model file holds: the whole, its operators, its tensors. */
export function inspectionText(result: Inspection): string {
  const { network, bundle } = result;
  const whole: [string, string | number][] = [
    ['Size', `${size(result.bytes)}${bundle ? `, the network ${size(network.bytes)} of it` : ''}`],
    ['Parameters', network.parameters],
    ['Multiply-adds', network.multiplyAdds],
    ['Arena', network.arenaBytes === null ? 'not for TFLite Micro' : size(network.arenaBytes)],
    ['Digest', result.digest],
  ];
  if (bundle) {
    const { info, golden } = bundle;
    const { int8, voted } = info.metrics;
    whole.push(
      ['Model', `${info.name}: ${info.classes.join(', ')}`],
      ['Signal', signalText(info.signal)],
      [
        'Held-out',
        `macro-F1 ${int8.macroF1.toFixed(4)} int8, ${voted.macroF1.toFixed(4)} with vote ${info.vote}`,
      ],
      ['Accuracy', percent(int8.accuracy)],
      ['Golden', `${golden.passed} of ${golden.vectors} vectors reproduced exactly`],
      ['Dataset', `${info.lineage.dataset.recordings} recordings, ${info.lineage.dataset.digest}`],
    );
  }
  return [facts(whole), bold('Operators'), operators(network), bold('Tensors'), tensors(network)].join(
    '\n\n',
  );
}

function signalText(signal: NonNullable<Inspection['bundle']>['info']['signal']): string {
  const features = Array.isArray(signal.features) ? `${signal.features.length} features` : signal.features;
  const lowpass = signal.lowpassHz === null ? '' : `, low-pass ${signal.lowpassHz} Hz`;
  return `${signal.fields.join(', ')} at ${signal.rateHz} Hz${lowpass}, ${signal.windowSamples} samples at ${signal.resampleHz} Hz every ${signal.strideSamples}, ${features}`;
}

function operators({ operators: list, tensors }: Network): string {
  const named = (indices: number[]) =>
    indices.map((i) => (i < 0 ? '–' : `[${tensors[i]?.shape.join('×')}]`)).join(' ');
  return table(
    ['#', 'operator', 'inputs', 'output', 'activation', 'multiply-adds'],
    list.map(({ index, op, inputs, outputs, options, multiplyAdds }) => [
      index,
      op,
      named(inputs),
      named(outputs),
      typeof options.activation === 'string' ? options.activation : '',
      multiplyAdds,
    ]),
  );
}

function tensors({ tensors: list }: Network): string {
  return table(
    ['#', 'tensor', 'type', 'shape', 'bytes', 'kind', 'scale', 'zero'],
    list.map(({ index, name, type, shape, bytes, constant, quantization }) => {
      const scales = quantization?.scale ?? [];
      return [
        index,
        name,
        type,
        shape.join('×') || 'scalar',
        bytes,
        constant ? 'constant' : 'activation',
        scales.length > 1 ? `${scales.length} channels` : (scales[0]?.toPrecision(5) ?? null),
        scales.length === 1 ? (quantization?.zeroPoint[0] ?? null) : null,
      ];
    }),
  );
}
