import type { Target } from '../types.js';
import { boards } from './boards.js';
import { files } from './files.js';
import { kept } from './kept.js';
import { models } from './models.js';
import { planted } from './planted.js';
import { http } from './requests.js';
import { tables } from './tables.js';
import { wires } from './wires.js';
import { words } from './words.js';

/** All targets: the readers of external input. */
export const targets: readonly Target[] = [
  ...boards,
  ...tables,
  ...models,
  ...files,
  ...wires,
  ...http,
  ...words,
  ...kept,
  ...planted,
];
