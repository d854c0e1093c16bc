import type { LayerConfig } from '../../core/index.js';

export const networkKinds = ['mlp', 'cnn1d', 'ds-cnn', 'autoencoder', 'layers'] as const;
export type NetworkKind = (typeof networkKinds)[number];

/**
 * What a network answers with: a share of each class, the probability of one event, real values, or its input again
 * (whose distance from the input tells how unusual it is).
 */
export type NetworkOutput =
  | { kind: 'classes'; count: number }
  | { kind: 'probability' }
  | { kind: 'value'; count: number }
  | { kind: 'reconstruction' };

/** A network as one asks for it. */
export interface NetworkSpec {
  kind: NetworkKind;
  /** One example: [features], [samples, fields], or [height, width, channels]. */
  inputShape: number[];
  /** Every hidden layer, in order; the output layer follows from `output`. */
  layers: LayerConfig[];
  output: NetworkOutput;
}

/** Numbers that the output layer has. */
export function outputSize({ output, inputShape }: Pick<NetworkSpec, 'output' | 'inputShape'>): number {
  switch (output.kind) {
    case 'classes':
    case 'value':
      return output.count;
    case 'probability':
      return 1;
    case 'reconstruction':
      return inputShape.reduce((a, b) => a * b, 1);
  }
}
