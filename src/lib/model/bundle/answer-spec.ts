import type { TrainingFile } from '../train/types.js';
import type { AnswerSpec, BundleInfo } from './types.js';

/** Where a probability becomes the second class, unless training chose another place. */
const evenOdds = 0.5;

/** What the outputs of a trained network mean. */
export function answerSpecOf({ network, threshold, source }: TrainingFile): AnswerSpec {
  const { output } = network;
  switch (output.kind) {
    case 'classes':
      return { kind: 'classes' };
    case 'probability':
      return { kind: 'probability', threshold: threshold ?? evenOdds };
    case 'value': {
      const named = source.kind === 'table' && output.count === 1 ? source.label : 'value';
      const names = Array.from({ length: output.count }, (_, i) =>
        output.count === 1 ? named : `${named}${i}`,
      );
      return { kind: 'value', names };
    }
    case 'reconstruction':
      return { kind: 'reconstruction', threshold: threshold ?? 0 };
  }
}

/** The part of a bundle that says how an output becomes an answer. Values are not voted on. */
export function answeringOf(
  training: TrainingFile,
  vote: string,
): Pick<BundleInfo, 'answer' | 'classes' | 'labels' | 'vote'> {
  const answer = answerSpecOf(training);
  if (answer.kind === 'value') return { answer, classes: [], labels: {}, vote: 'none' };
  return { answer, classes: training.classes, labels: training.labels, vote };
}
