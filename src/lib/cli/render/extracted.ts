import { plural } from '../../core/index.js';
import type { Extracted } from '../../data/index.js';

const sources = { project: 'the project', platform: 'the platform', guide: 'the guide’s services' };

/** How much went into a dataset for training, and where from. */
export function extractedText({ out, kind, rows, recordings, source }: Extracted): string {
  const of = kind === 'table' ? plural(rows, 'row') : plural(recordings, 'recording');
  return `${out}: ${of} of ${sources[source]}`;
}

/** What was left out of it; empty where it was nothing. */
export function leftOutTexts({ unlabelled, malformed }: Extracted): string[] {
  return [
    ...(unlabelled > 0 ? [`${plural(unlabelled, 'recording')} without a label left out`] : []),
    ...(malformed > 0 ? [`${plural(malformed, 'line')} of the guide’s files that are no rows left out`] : []),
  ];
}
