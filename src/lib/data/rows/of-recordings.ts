import type { NumberColumn, TextColumn } from '../../formats/index.js';
import { sampleCount } from '../count.js';
import type { Recording } from '../types.js';
import type { Rows } from './types.js';

/** Recordings one behind the other, each a take of its own. Where no label is known, there is none. */
export function rowsOfRecordings(
  name: string,
  from: Rows['from'],
  { fields, rateHz, recordings }: { fields: string[]; rateHz: number; recordings: Recording[] },
): Rows {
  const rows = sampleCount(recordings);
  const features = fields.map((field): NumberColumn => {
    const values = new Float64Array(rows);
    let at = 0;
    for (const recording of recordings) {
      const own = recording.columns[recording.fields.indexOf(field)]!;
      values.set(own, at);
      at += own.length;
    }
    let missing = 0;
    for (const value of values) if (Number.isNaN(value)) missing++;
    return { name: field, kind: 'number', values, missing, words: 0, first: [] };
  });
  const labelled = recordings.some(({ label }) => label !== null);
  return {
    name,
    from,
    rows,
    features,
    label: labelled ? wordsBy(recordings, 'label', ({ label }) => label) : null,
    prediction: null,
    take: wordsBy(recordings, 'recording', ({ id }) => id),
    time: null,
    rateHz,
    ignored: [],
  };
}

function wordsBy(
  recordings: Recording[],
  name: string,
  wordOf: (recording: Recording) => string | null,
): TextColumn {
  const codes = new Int32Array(sampleCount(recordings));
  const words: string[] = [];
  let at = 0;
  let missing = 0;
  for (const recording of recordings) {
    const word = wordOf(recording);
    const rows = sampleCount([recording]);
    if (word !== null && !words.includes(word)) words.push(word);
    if (word === null) missing += rows;
    codes.fill(word === null ? -1 : words.indexOf(word), at, at + rows);
    at += rows;
  }
  return { name, kind: 'text', codes, words, missing };
}
