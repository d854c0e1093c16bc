import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Flags } from '@oclif/core';
import { requireWritable, writeFileAtomic } from '../core/files.js';
import { startProgram } from '../core/process.js';
import { html } from '../formats/html.js';
import { shared } from './flags/shared.js';

/** Flags of commands whose result is also an HTML page. */
export const reportFlags = {
  report: shared.report,
  open: Flags.boolean({
    summary: 'Open the report in the browser; without --report, uses a temporary file.',
    env: 'AIOT_OPEN',
  }),
};

export interface ReportAsked {
  report?: string | undefined;
  open?: boolean | undefined;
}

/**
 * Path of the report; undefined if no report is requested. An unwritable file is rejected before the work begins.
 * @param name default name of the page
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

/** Programs that open a file with the user's default application; null = there is no desktop. */
function openerOf(platform: NodeJS.Platform, env: NodeJS.ProcessEnv): [string, ...string[]] | null {
  if (platform === 'darwin') return ['open'];
  // `start` cannot be used, because it is a shell built-in, and the shell would interpret an & in the path.
  if (platform === 'win32') return ['explorer.exe'];
  // Without a display, xdg-open would start a text browser in this terminal.
  return env.DISPLAY || env.WAYLAND_DISPLAY ? ['xdg-open'] : null;
}

/** Whether this machine has a desktop on which a browser can open. */
export function hasBrowser(): boolean {
  return openerOf(process.platform, process.env) !== null;
}

/** Opens a file in the user's browser, which outlives this process. Returns false if there is no browser. */
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
 * Opens a page whose address grants access. Because every user of the machine can read a program's arguments, the browser opens a file that
 * redirects to the address. Returns false if there is no browser.
 */
export async function openSecretUrl(url: string): Promise<boolean> {
  const file = join(await mkdtemp(join(tmpdir(), 'aiot-link-')), 'dashboard.html');
  const page = html`<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=${url}">`;
  await writeFileAtomic(file, page.text, 0o600);
  return await openFile(file);
}
