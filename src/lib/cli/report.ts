import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Flags } from '@oclif/core';
import { requireWritable, writeFileAtomic } from '../core/files.js';
import { startProgram } from '../core/process.js';
import { html } from '../formats/html.js';
import { shared } from './flags/shared.js';

/** Flags of commands whose result is also a page to look at. */
export const reportFlags = {
  report: shared.report,
  open: Flags.boolean({
    summary: 'Show the report in the browser; without --report it is a temporary file.',
    env: 'AIOT_OPEN',
  }),
};

export interface ReportAsked {
  report?: string | undefined;
  open?: boolean | undefined;
}

/**
 * The file that a report is to be written to, refused before the work rather than after it; undefined: nobody wants one.
 * @param name of the page where nobody has named a file
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_USAGE (an empty name)
 */
export async function reportFile({ report, open }: ReportAsked, name: string): Promise<string | undefined> {
  if (report !== undefined) {
    await requireWritable(report);
    return report;
  }
  if (!open) return undefined;
  return join(await mkdtemp(join(tmpdir(), 'aiot-report-')), `${name}.html`);
}

/** Programs that hand a file to what the user has for it; null: there is no desktop to show it on. */
function openerOf(platform: NodeJS.Platform, env: NodeJS.ProcessEnv): [string, ...string[]] | null {
  if (platform === 'darwin') return ['open'];
  // `start` is the shell's, which would read an & of the path.
  if (platform === 'win32') return ['explorer.exe'];
  // Without a display xdg-open would start a browser of text within this terminal.
  return env.DISPLAY || env.WAYLAND_DISPLAY ? ['xdg-open'] : null;
}

/** Shows a file in the user's browser, which lives on; false where there is none to show it in. */
export async function openFile(
  file: string,
  { platform = process.platform, env = process.env } = {},
): Promise<boolean> {
  const [program, ...words] = openerOf(platform, env) ?? [];
  if (program === undefined) return false;
  const child = startProgram(program, [...words, resolve(file)], { detached: true, stdio: 'ignore', env });
  const begun = await new Promise<boolean>((done) => {
    child.once('error', () => done(false));
    child.once('spawn', () => done(true));
  });
  child.unref();
  return begun;
}

/**
 * Shows a page whose address lets one in: by a file that leads there, for what a program is started with every user of the machine can
 * read. False where there is no browser to show it in.
 */
export async function openSecretUrl(url: string): Promise<boolean> {
  const file = join(await mkdtemp(join(tmpdir(), 'aiot-link-')), 'dashboard.html');
  const page = html`<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=${url}">`;
  await writeFileAtomic(file, page.text, 0o600);
  return await openFile(file);
}
