import { size } from '../../core/index.js';
import type { Rendered } from '../../deploy/index.js';
import { bold, dim, green, yellow } from './style.js';
import { table } from './text.js';

const paints = { created: green, changed: green, unchanged: dim, edited: yellow, left: yellow };

/** The files of an installation, and what became of each. */
export function renderedText({ target, dir, dryRun, files }: Rendered): string {
  const title = `${bold(target)} ${dryRun ? 'would go' : 'is'} in ${dir}`;
  const rows = files.map(({ path, did, bytes, about }) => [path, paints[did](did), size(bytes), about]);
  return `${title}\n${table(['FILE', '', 'SIZE', 'FOR'], rows)}`;
}
