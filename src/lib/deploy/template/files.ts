import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../core/index.js';

/** A file of templates/deploy, which comes with aiot. */
export function templateText(path: string): string {
  return readFileSync(join(packageRoot(), 'templates', 'deploy', path), 'utf8');
}
