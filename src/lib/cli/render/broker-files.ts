import type { BrokerFiles } from '../../platform/index.js';
import { bold } from './style.js';

/** What another broker was given. */
export function brokerFilesText({ dir, files, names }: BrokerFiles): string {
  return `${bold(dir)} has ${files.join(', ')}, for a broker at ${names.join(', ')}`;
}
