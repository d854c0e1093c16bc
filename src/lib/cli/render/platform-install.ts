import type { InstalledPlatform } from '../../platform/index.js';
import { dim, green } from './style.js';

/** The unit, where it is, and what to know before it is started. */
export function installedPlatformText({
  unit,
  file,
  written,
  secrets,
  data,
  config,
}: InstalledPlatform): string {
  return [
    unit,
    written ? green(`written to ${file}`) : dim(`would be written to ${file}`),
    dim(`The platform is in ${data}; its first start puts the operator’s token and key into ${config}.`),
    dim(`Secrets go into ${secrets} as NAME=VALUE lines: sudo install -D -m 600 /dev/null ${secrets}`),
  ].join('\n');
}
