import { join } from 'node:path';
import { AiotError, makeFolder, writeFileAtomic } from '../../core/index.js';
import { writeCsv } from '../../formats/index.js';
import type { Recording } from '../types.js';
import type { Take } from './take.js';

/** Writes recordings that do not fit the dataset beside it. @returns their files */
export async function setAside(folder: string, recordings: Recording[]): Promise<string[]> {
  const files: string[] = [];
  for (const { id, fields, columns } of recordings) {
    await makeFolder(folder);
    const file = join(folder, `${id}.csv`);
    await writeFileAtomic(file, writeCsv(fields, columns));
    files.push(file);
  }
  return files;
}

/** The refusal of takes, which were set aside in files. */
export function otherRates(takes: Take[], rateHz: number, kept: Recording[], files: string[]): unknown {
  const rates = takes.map((take) => {
    const got = take.otherRate(rateHz)?.toFixed(1);
    return `${take.device ?? 'the device'}: expected ${rateHz} samples a second (signal.rate), got about ${got}`;
  });
  const message = `${rates.join('; ')}; set aside in ${files.join(', ')}`;
  return keeping(new AiotError('AIOT_DATA_RATE', message), kept);
}

/** The error, saying too which recordings were kept before it. */
export function keeping(error: unknown, kept: Recording[]): unknown {
  if (!(error instanceof AiotError) || kept.length === 0) return error;
  const { code, message, next, endpoint, retryable } = error;
  const ids = kept.map(({ id }) => id).join(', ');
  return new AiotError(code, `${message}; kept: ${ids}`, { next, endpoint, retryable, cause: error });
}
