import { type Html, html } from '../../../formats/index.js';
import type { Drift } from '../result.js';

/** Columns of the strip; more windows are drawn every second, third … one. */
const most = 60;
/** PSI that has the full colour. */
const full = 1;

/** PSI of each column in each window, darker where it is larger, with its figure. */
export function windowStrip({ windows, features }: Drift): Html | null {
  if (windows.length === 0) return null;
  const every = Math.ceil(windows.length / most);
  const shown = windows.filter((_, i) => i % every === 0);
  const days = new Set(shown.map(({ time }) => time?.slice(0, 10)));
  const head = shown.map(({ time, seconds, row }, i) => {
    const at = time
      ? time.slice(days.size > 1 ? 5 : 11, 16).replace('T', ' ')
      : seconds === null
        ? `row ${row}`
        : `${Number(seconds.toPrecision(4))} s`;
    return html`<th scope="col">${i % Math.ceil(shown.length / 12) === 0 ? at : ''}</th>`;
  });
  const rows = features.map(({ name }) => {
    const cells = shown.map(({ features: own }) => {
      const one = own.find((feature) => feature.name === name);
      if (!one) return html`<td>–</td>`;
      const share = Math.round(Math.min(1, one.psi / full) * 85);
      return html`<td class="cell${one.drifted ? ' over' : ''}${share > 55 ? ' strong' : ''}" style="--share:${share}%">${one.psi < 0.005 ? '0' : one.psi.toFixed(one.psi < 9.95 ? 2 : 0)}</td>`;
    });
    return html`<tr><th scope="row">${name}</th>${cells}</tr>`;
  });
  const rest = every > 1 ? ` Every ${every}th of ${windows.length} windows is shown.` : '';
  return html`<h2>Over time</h2><div class="scroll strip"><table><thead><tr><th scope="col">PSI</th>${head}</tr></thead><tbody>${rows}</tbody></table></div><p class="lead" style="margin-top:12px">PSI of each column in each window of now, against the base; outlined where it has drifted.${rest}</p>`;
}
