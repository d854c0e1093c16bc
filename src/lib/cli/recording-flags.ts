import { Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';
import type { LabelFrom } from '../data/index.js';

/** A number of Hz above 0, as a flag. */
export const hertz = Flags.custom<number>({
  helpValue: 'HZ',
  parse: async (text, _context, { name }) => {
    if (/^\d+(\.\d+)?(e\d+)?$/i.test(text) && Number(text) > 0 && Number.isFinite(Number(text))) {
      return Number(text);
    }
    throw new AiotError('AIOT_USAGE', `--${name}: expected a number of Hz above 0, got "${text}"`);
  },
});

/** Where the labels of recordings come from that belong to no project. */
export const labelFrom = Flags.custom<LabelFrom>({
  summary: 'Where labels are: name (walking1.csv is walking), folder, column, column:NAME, or none.',
  env: 'AIOT_LABEL_FROM',
  helpValue: 'WHERE',
  parse: async (text) => {
    if (/^(auto|name|folder|column|none|column:.+)$/.test(text)) return text as LabelFrom;
    throw new AiotError(
      'AIOT_USAGE',
      `--label-from: expected name, folder, column, column:NAME or none, got "${text}"`,
    );
  },
});
