import { type Html, html } from './html.js';

/** One confusion matrix: rows = truth, columns = prediction; shaded by the share of the row. */
export function confusionTable(title: string, note: string, classes: string[], counts: number[][]): Html {
  const head = classes.map((name) => html`<th scope="col">${name}</th>`);
  const rows = classes.map((name, truth) => {
    const row = counts[truth] ?? [];
    const total = row.reduce((a, b) => a + b, 0);
    const cells = classes.map((_, predicted) => {
      const count = row[predicted] ?? 0;
      const share = total === 0 ? 0 : count / total;
      const kind = predicted === truth ? 'hit' : 'miss';
      const strong = share > 0.55 ? ' strong' : '';
      return html`<td class="${kind}${strong}" style="--share:${Math.round(share * 100)}%">${count}<small>${total === 0 ? '–' : `${(share * 100).toFixed(0)} %`}</small></td>`;
    });
    return html`<tr><th scope="row">${name}</th>${cells}</tr>`;
  });
  return html`<figure class="confusion"><figcaption>${title}<span class="note">${note}</span></figcaption><div class="scroll"><table><thead><tr><td class="corner">truth ↓ predicted →</td>${head}</tr></thead><tbody>${rows}</tbody></table></div></figure>`;
}
