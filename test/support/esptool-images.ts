import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './cli.js';
import { python } from './real.js';

export interface ImageJob {
  do: 'elf2image' | 'merge' | 'hex-to-bin' | 'info';
  out: string;
  [argument: string]: unknown;
}

export interface JobResult {
  /** esptool's output file; null if it wrote none. */
  bytes: Uint8Array | null;
  /** The raised exception, or null. */
  error: string | null;
  /** The data found by `hex-to-bin`, by address. */
  regions: { offset: number; data: Uint8Array }[];
}

/** Runs esptool's own functions on files, with all jobs in one process. First writes `files` to its folder. */
export function esptoolImages(
  files: Record<string, Uint8Array | string>,
  jobs: readonly ImageJob[],
): JobResult[] {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-esptool-images-'));
  try {
    for (const [name, data] of Object.entries(files)) writeFileSync(join(folder, name), data);
    writeFileSync(join(folder, 'jobs.json'), JSON.stringify(jobs));
    const script = join(root, 'test/support/python/esptool_images.py');
    const { status, stderr } = spawnSync(python('esptool'), [script, folder], {
      encoding: 'utf8',
      timeout: 80_000,
    });
    if (status !== 0) throw new Error(`esptool_images.py: ${stderr}`);
    const errors = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as (string | null)[];
    return jobs.map(({ out }, index) => {
      const file = join(folder, out);
      const regions = readdirSync(folder)
        .filter((name) => name.startsWith(`${out}.`))
        .map((name) => ({
          offset: Number.parseInt(name.split('.').at(-1) ?? '', 16),
          data: new Uint8Array(readFileSync(join(folder, name))),
        }))
        .toSorted((a, b) => a.offset - b.offset);
      const error = errors[index] ?? null;
      return {
        bytes: existsSync(file) && !error ? new Uint8Array(readFileSync(file)) : null,
        error,
        regions,
      };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
