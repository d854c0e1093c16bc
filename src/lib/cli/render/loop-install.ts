import type { InstalledLoop } from '../../loop/operate/index.js';
import { dim, green, yellow } from './style.js';

/** The unit, where it is, and what to know before it is started. */
export function installedLoopText({ unit, file, written, secrets, cautions }: InstalledLoop): string {
  const lines = [
    unit,
    written ? green(`written to ${file}`) : dim(`would be written to ${file}`),
    dim(`Secrets go into ${secrets} as NAME=VALUE lines: sudo install -m 600 /dev/null ${secrets}`),
    ...cautions.map((text) => `${yellow('!')} ${text}`),
  ];
  return lines.join('\n');
}
