import { elapsed, thousands } from '../../../core/figures.js';
import { type Html, html, htmlTable } from '../../../formats/html.js';
import type { RolloutReport } from '../report.js';
import type { RolloutDeviceInfo } from '../schema.js';
import { proofWords, stateWords, stepWord } from '../words.js';

/** Maximum number of device rows, because browsers cannot display a page with a million rows. */
const most = 500;
const steps = ['downloaded', 'verified', 'booted', 'golden', 'committed', 'healthy'] as const;

/** Table of the devices; devices that did not commit come first. */
export function deviceTable({ devices }: RolloutReport): Html | null {
  if (devices.length === 0) return null;
  const sorted = [...devices].sort(
    (a, b) => Number(a.state === 'committed') - Number(b.state === 'committed') || a.wave - b.wave,
  );
  const rows = sorted.slice(0, most).map((device) => {
    const { name, wave, times, proof, error } = device;
    const after = steps.map((step) => {
      const at = times[step];
      return at === undefined || times.offered === undefined ? '–' : elapsed(Math.max(0, at - times.offered));
    });
    return [
      ...[name, String(wave + 1), stateOf(device), ...after],
      proof ? proofWords[proof.state] : '–',
      error ? `${error.code}: ${error.message}` : '',
    ];
  });
  const head = [
    'Device',
    'Wave',
    'State',
    ...steps.map((step) => capitalized(stepWord(step))),
    'Proof',
    'Error',
  ];
  const rest =
    devices.length > most
      ? html`<p class="lead" style="margin-top:12px">The first ${most} of ${thousands(devices.length)} devices; devices that did not commit come first. For all devices, run aiot rollout report --json.</p>`
      : null;
  return html`<h2>Devices and time since the offer</h2>${htmlTable(head, rows)}${rest}`;
}

function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

function stateOf({ state, times }: RolloutDeviceInfo): Html {
  if (times.crashed !== undefined) return html`<span class="bad">${stateWords(state)}, crashed</span>`;
  const kind = state === 'committed' ? 'good' : state === 'failed' || state === 'rolledBack' ? 'bad' : 'soft';
  return html`<span class="${kind}">${stateWords(state)}</span>`;
}

/** History of the rollout, oldest first. */
export function historyTable({ history }: RolloutReport): Html | null {
  if (history.length === 0) return null;
  const rows = history.map(({ at, who, type, data }) => {
    const { wave, state, reason } = data as {
      wave?: number;
      state?: string;
      reason?: { message: string } | null;
    };
    const details = [
      ...(wave === undefined ? [] : [`wave ${wave + 1}`]),
      ...(state === undefined ? [] : [stateWords(state)]),
      ...(reason ? [reason.message] : []),
    ];
    return [utc(at), who, type, details.join(' ')];
  });
  return html`<h2>History</h2>${htmlTable(['Time', 'User', 'Event', 'Details'], rows)}`;
}

/** A time as UTC text, to the second. */
export function utc(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
