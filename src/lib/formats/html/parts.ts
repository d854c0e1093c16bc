import { type Html, html } from './html.js';

/** Colours that a legend, a line or a bar may have: those of curves by number, those of verdicts by name. */
export type Paint = 1 | 2 | 3 | 4 | 5 | 6 | 'good' | 'bad' | 'warn' | 'soft';

/** Class of the style sheet. */
export function paintClass(paint: Paint): string {
  return typeof paint === 'number' ? `series-${paint}` : paint;
}

/** The figures to see first: [what it is, its value]. */
export function tileRow(list: readonly (readonly [name: string, value: string])[]): Html {
  return html`<div class="tiles">${list.map(([name, value]) => html`<div class="tile"><b>${value}</b><span>${name}</span></div>`)}</div>`;
}

/** Names and what they are, one below the other. */
export function factList(facts: readonly (readonly [name: string, value: string | Html])[]): Html {
  return html`<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** Limits, each kept or not. */
export function checkList(checks: readonly { passed: boolean; text: string }[]): Html {
  const items = checks.map(({ passed, text }) => {
    const badge = passed
      ? html`<span class="badge good">✓ passed</span>`
      : html`<span class="badge bad">✗ failed</span>`;
    return html`<li>${badge}<span>${text}</span></li>`;
  });
  return html`<ul class="plain">${items}</ul>`;
}

/** What each colour of a figure stands for. */
export function legend(keys: readonly { name: string; paint: Paint | 'mark' }[]): Html {
  const shown = keys.map(({ name, paint }) => {
    const kind = paint === 'mark' ? paint : paintClass(paint);
    return html`<span class="key ${kind}">${name}</span>`;
  });
  return html`<span class="keys">${shown}</span>`;
}
