import { elapsed, thousands } from '../../../core/figures.js';
import { type Html, html, htmlTable } from '../../../formats/html.js';
import type { RolloutReport } from '../report.js';
import type { RolloutDeviceInfo } from '../schema.js';

/** Rows of devices at most: a page of a million would open nowhere. */
const most = 500;
const steps = ['downloaded', 'verified', 'booted', 'golden', 'committed', 'healthy'] as const;

/** Those that did not commit first. */
export function deviceTable({ devices }: RolloutReport): Html | null {
  if (devices.length === 0) return null;
  const sorted = [...devices].sort(
    (a, b) => Number(a.state === 'committed') - Number(b.state === 'committed') || a.wave - b.wave,
  );
  const rows = sorted.slice(0, most).map((device) => {
    const { name, wave, state, times, proof, error } = device;
    const after = steps.map((step) => {
      const at = times[step];
      return at === undefined || times.offered === undefined ? '–' : elapsed(Math.max(0, at - times.offered));
    });
    return [
      ...[name, String(wave + 1), stateOf(state), ...after],
      proof?.state ?? '–',
      error ? `${error.code}: ${error.message}` : '',
    ];
  });
  const head = ['Device', 'Wave', 'State', ...steps, 'Proof', 'What it said'];
  const rest =
    devices.length > most
      ? html`<p class="lead" style="margin-top:12px">The first ${most} of ${thousands(devices.length)}, those that did not commit before the others; aiot ota report --json has all.</p>`
      : null;
  return html`<h2>Devices, with the time since their offer</h2>${htmlTable(head, rows)}${rest}`;
}

function stateOf(state: RolloutDeviceInfo['state']): Html {
  const kind = state === 'committed' ? 'good' : state === 'failed' || state === 'rolledBack' ? 'bad' : 'soft';
  return html`<span class="${kind}">${state}</span>`;
}

/** Who did what, oldest first. */
export function historyTable({ history }: RolloutReport): Html | null {
  if (history.length === 0) return null;
  const rows = history.map(({ at, who, type, data }) => {
    const { wave, state, reason } = data as {
      wave?: number;
      state?: string;
      reason?: { message: string } | null;
    };
    const told = [
      ...(wave === undefined ? [] : [`wave ${wave + 1}`]),
      ...(state === undefined ? [] : [state]),
      ...(reason ? [reason.message] : []),
    ];
    return [utc(at), who, type, told.join(' ')];
  });
  return html`<h2>What happened</h2>${htmlTable(['When', 'Who', 'What', ''], rows)}`;
}

/** To the second. */
export function utc(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
